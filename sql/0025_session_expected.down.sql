-- Nothing to undo: what was forgotten is written again.
SELECT 1;
