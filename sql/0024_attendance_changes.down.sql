DROP TABLE attendance_changes;
