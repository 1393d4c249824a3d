-- Every change of a record after it was made, for those whom it concerns; the audit trail has it too, but is not theirs to read.
-- Changes from before this table are in the trail alone.
CREATE TABLE attendance_changes (
	attendance_id UUID NOT NULL REFERENCES attendance_records (id) ON DELETE CASCADE,
	id UUID NOT NULL,                    -- of version 7: in the order of the changes
	changed_at TIMESTAMPTZ NOT NULL,
	changed_by UUID,                     -- null: a rule, not a person
	from_status TEXT NOT NULL,
	to_status TEXT NOT NULL,
	reason TEXT NOT NULL,
	PRIMARY KEY (attendance_id, id)
) KEYED;
