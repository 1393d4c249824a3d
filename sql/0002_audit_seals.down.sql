-- @sqlite
DROP TRIGGER audit_logs_no_delete;
DROP TRIGGER audit_logs_no_update;
-- @end
-- @postgres
DROP TRIGGER audit_logs_no_truncate ON audit_logs;
DROP FUNCTION audit_logs_refuse_truncate();
DROP TRIGGER audit_logs_append_only ON audit_logs;
DROP FUNCTION audit_logs_refuse();
-- @end
DROP TABLE audit_seals;
