-- Closed ranges of the audit trail, each chained to the one before by an HMAC.
CREATE TABLE audit_seals (
	seq SEQ,
	from_seq BIGINT NOT NULL,            -- the range; its ends are rows that were there when it was sealed
	to_seq BIGINT NOT NULL,
	row_count BIGINT NOT NULL,
	row_macs TEXT NOT NULL,              -- base64url, 8 bytes of each row's HMAC, in the order of seq: names a bad row
	mac TEXT NOT NULL,                   -- base64url HMAC-SHA256 over the seal before, the range and every row
	key_id TEXT NOT NULL,
	sealed_at TIMESTAMPTZ NOT NULL,
	archived_file TEXT                   -- the file that has the rows now
);
CREATE UNIQUE INDEX idx_audit_seals_to ON audit_seals (to_seq);

-- Rows are never changed.  They are deleted only when a seal names the file that keeps them.
-- @sqlite
CREATE TRIGGER audit_logs_no_update BEFORE UPDATE ON audit_logs
BEGIN
	SELECT RAISE(ABORT, 'audit_logs is append-only');
END;
CREATE TRIGGER audit_logs_no_delete BEFORE DELETE ON audit_logs
WHEN NOT EXISTS (SELECT 1 FROM audit_seals s WHERE s.from_seq <= OLD.seq AND s.to_seq >= OLD.seq AND s.archived_file IS NOT NULL)
BEGIN
	SELECT RAISE(ABORT, 'audit_logs is append-only');
END;
-- @end
-- @postgres
CREATE FUNCTION audit_logs_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM audit_seals s WHERE s.from_seq <= OLD.seq AND s.to_seq >= OLD.seq
		AND s.archived_file IS NOT NULL) THEN
		RETURN OLD;
	END IF;
	RAISE EXCEPTION 'audit_logs is append-only';
END $$;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs FOR EACH ROW EXECUTE FUNCTION audit_logs_refuse();
CREATE FUNCTION audit_logs_refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'audit_logs is append-only';
END $$;
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs EXECUTE FUNCTION audit_logs_refuse_truncate();
-- @end
