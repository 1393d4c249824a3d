-- What `muster limits` set: wins over the variable of the same name, on every node.
CREATE TABLE limits (
	name TEXT PRIMARY KEY,
	value BIGINT NOT NULL,
	changed_at TIMESTAMPTZ NOT NULL
) KEYED;
