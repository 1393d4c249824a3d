-- Templates are kept sealed (Fernet, MFA_ENCRYPTION_KEY), each bound to its account.  The table was never written before.
DROP TABLE face_references;
CREATE TABLE face_references (
	id UUID PRIMARY KEY,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	model_sha256 TEXT NOT NULL,          -- templates of another model cannot be compared
	template TEXT NOT NULL,
	key_id TEXT NOT NULL,                -- which MFA_ENCRYPTION_KEY sealed it
	consent_at TIMESTAMPTZ,
	created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_face_references_user ON face_references (user_id);

-- Pictures of marks.  The object is stored first; an object that no row names is an orphan.
CREATE TABLE selfies (
	attendance_id UUID PRIMARY KEY REFERENCES attendance_records (id) ON DELETE CASCADE,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	object TEXT NOT NULL,
	content_type TEXT NOT NULL,
	created_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX idx_selfies_object ON selfies (object);
CREATE INDEX idx_selfies_user ON selfies (user_id);
CREATE INDEX idx_selfies_created ON selfies (created_at);
