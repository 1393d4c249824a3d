DROP TABLE selfies;
DROP TABLE face_references;
CREATE TABLE face_references (
	id UUID PRIMARY KEY,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	model_sha256 TEXT NOT NULL,
	template BYTEA NOT NULL,
	consent_at TIMESTAMPTZ,
	created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_face_references_user ON face_references (user_id);
