-- People and their way in -------------------------------------------------------------------------------------------------
CREATE TABLE users (
	id UUID PRIMARY KEY,
	email TEXT NOT NULL,                 -- canonical form
	full_name TEXT NOT NULL,
	role TEXT NOT NULL CHECK (role IN ('student','lecturer','reviewer','admin')),
	is_active BOOLEAN NOT NULL,
	disabled_at TIMESTAMPTZ,
	password_hash TEXT,                  -- null: no password login (OAuth only)
	email_verified_at TIMESTAMPTZ,
	mail_decisions BOOLEAN NOT NULL,
	mail_marks BOOLEAN NOT NULL,
	mail_reminders BOOLEAN NOT NULL,
	created_at TIMESTAMPTZ NOT NULL,
	updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX idx_users_email ON users (email);
CREATE INDEX idx_users_role ON users (role, is_active);

CREATE TABLE approval_requests (
	id UUID PRIMARY KEY,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	status TEXT NOT NULL CHECK (status IN ('pending','approved','rejected','timeout')),
	requested_role TEXT NOT NULL CHECK (requested_role IN ('student','lecturer','reviewer','admin')),
	requested_at TIMESTAMPTZ NOT NULL,
	expires_at TIMESTAMPTZ NOT NULL,
	decided_at TIMESTAMPTZ,
	decided_by UUID,
	approved_role TEXT CHECK (approved_role IN ('student','lecturer','reviewer','admin')),
	rejection_reason TEXT,
	attempts BIGINT NOT NULL,            -- how often this address signed up, this request included
	ip_address TEXT NOT NULL
);
CREATE INDEX idx_approval_requests_user ON approval_requests (user_id, requested_at);
CREATE INDEX idx_approval_requests_status ON approval_requests (status, requested_at);
CREATE INDEX idx_approval_requests_requested ON approval_requests (requested_at);

CREATE TABLE sessions (
	id UUID PRIMARY KEY,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	created_at TIMESTAMPTZ NOT NULL,
	login_at TIMESTAMPTZ NOT NULL,       -- last full login with every factor
	expires_at TIMESTAMPTZ NOT NULL,     -- absolute; rotation never moves it
	last_used_at TIMESTAMPTZ NOT NULL,
	revoked_at TIMESTAMPTZ,
	revoke_reason TEXT,
	ip_address TEXT NOT NULL,
	user_agent TEXT NOT NULL,
	web BOOLEAN NOT NULL,                -- refresh token travels in a cookie
	mfa BOOLEAN NOT NULL                 -- a second factor was given at login
);
CREATE INDEX idx_sessions_user ON sessions (user_id, revoked_at);
CREATE INDEX idx_sessions_expires ON sessions (expires_at);

-- One row per refresh token; the family is the session.
CREATE TABLE refresh_tokens (
	id UUID PRIMARY KEY,
	session_id UUID NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
	token_hash TEXT NOT NULL,            -- base64url HMAC-SHA256
	key_id TEXT NOT NULL,                -- key of token_hash and of the successor's derivation
	successor_salt TEXT NOT NULL,        -- base64url, random
	issued_at TIMESTAMPTZ NOT NULL,
	expires_at TIMESTAMPTZ NOT NULL,
	used_at TIMESTAMPTZ,
	successor_id UUID                    -- the token it was rotated into
);
CREATE UNIQUE INDEX idx_refresh_tokens_hash ON refresh_tokens (token_hash);
CREATE INDEX idx_refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX idx_refresh_tokens_expires ON refresh_tokens (expires_at);

CREATE TABLE one_time_secrets (
	id UUID PRIMARY KEY,
	purpose TEXT NOT NULL,
	user_id UUID REFERENCES users (id) ON DELETE CASCADE,
	secret_hash TEXT NOT NULL,
	key_id TEXT NOT NULL,
	binding TEXT NOT NULL,               -- MAC of the client it is bound to, '' for none
	data TEXT,                           -- JSON the purpose needs back
	created_at TIMESTAMPTZ NOT NULL,
	expires_at TIMESTAMPTZ NOT NULL,
	used_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX idx_one_time_secrets_hash ON one_time_secrets (purpose, secret_hash);
CREATE INDEX idx_one_time_secrets_user ON one_time_secrets (user_id, purpose);
CREATE INDEX idx_one_time_secrets_expires ON one_time_secrets (expires_at);

CREATE TABLE known_devices (
	id UUID PRIMARY KEY,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	token_hash TEXT NOT NULL,
	key_id TEXT NOT NULL,
	created_at TIMESTAMPTZ NOT NULL,
	expires_at TIMESTAMPTZ NOT NULL,
	user_agent TEXT NOT NULL
);
CREATE UNIQUE INDEX idx_known_devices_hash ON known_devices (token_hash);
CREATE INDEX idx_known_devices_user ON known_devices (user_id);
CREATE INDEX idx_known_devices_expires ON known_devices (expires_at);

-- Lockout: one row per key ('email:<MAC>', 'ip:<prefix>', 'otp:<user>', 'device:<id>').
CREATE TABLE login_failures (
	subject TEXT PRIMARY KEY,
	failures BIGINT NOT NULL,
	first_at TIMESTAMPTZ NOT NULL,
	last_at TIMESTAMPTZ NOT NULL,
	locked_until TIMESTAMPTZ,
	level BIGINT NOT NULL,               -- how often it was locked, less one for each day since
	locked_at TIMESTAMPTZ                -- when it was locked last
) KEYED;
CREATE INDEX idx_login_failures_last ON login_failures (last_at);

CREATE TABLE mfa_totp (
	user_id UUID PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
	secret TEXT NOT NULL,                -- Fernet token
	key_id TEXT NOT NULL,
	pending_secret TEXT,
	pending_key_id TEXT,
	last_step BIGINT NOT NULL,
	enabled_at TIMESTAMPTZ,
	created_at TIMESTAMPTZ NOT NULL
) KEYED;

CREATE TABLE oauth_identities (
	id UUID PRIMARY KEY,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	provider TEXT NOT NULL,
	issuer TEXT NOT NULL,
	subject TEXT NOT NULL,
	email TEXT,
	created_at TIMESTAMPTZ NOT NULL,
	last_used_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX idx_oauth_identities_subject ON oauth_identities (issuer, subject);
CREATE INDEX idx_oauth_identities_user ON oauth_identities (user_id);

-- Courses, events, codes, marks ---------------------------------------------------------------------------------------------
CREATE TABLE courses (
	id UUID PRIMARY KEY,
	code TEXT NOT NULL,
	title TEXT NOT NULL,
	owner_id UUID NOT NULL REFERENCES users (id),
	is_deleted BOOLEAN NOT NULL,
	created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_courses_owner ON courses (owner_id);

CREATE TABLE enrollments (
	course_id UUID NOT NULL REFERENCES courses (id) ON DELETE CASCADE,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	created_at TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (course_id, user_id)
) KEYED;
CREATE INDEX idx_enrollments_user ON enrollments (user_id);

-- A portal event and a campus session are rows of one table.
CREATE TABLE events (
	id UUID PRIMARY KEY,
	kind TEXT NOT NULL CHECK (kind IN ('event','session')),
	title TEXT NOT NULL,
	description TEXT,
	notes TEXT,
	scheduled_at TIMESTAMPTZ NOT NULL,   -- a session's starts_at
	ends_at TIMESTAMPTZ,
	closed_at TIMESTAMPTZ,
	course_id UUID REFERENCES courses (id),
	owner_id UUID NOT NULL REFERENCES users (id),
	capacity BIGINT,
	taken BIGINT NOT NULL,               -- counted only where capacity is set
	latitude DOUBLE PRECISION,
	longitude DOUBLE PRECISION,
	geofence_radius_m DOUBLE PRECISION,
	networks TEXT,                       -- JSON list of CIDRs
	policy TEXT,                         -- JSON object, layer → off|flag|reject|on
	label TEXT,                          -- a session's lasting 4-letter code
	generation BIGINT NOT NULL,          -- bumped to kill every code at once
	rotate_seconds BIGINT,
	late_after_minutes BIGINT,
	require_device BOOLEAN NOT NULL,
	require_face BOOLEAN NOT NULL,
	expected BIGINT,                     -- how many should have come; written when its time has passed
	is_deleted BOOLEAN NOT NULL,
	deleted_at TIMESTAMPTZ,
	created_at TIMESTAMPTZ NOT NULL,
	updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_events_scheduled ON events (kind, scheduled_at);
CREATE INDEX idx_events_owner ON events (owner_id, scheduled_at);
CREATE INDEX idx_events_course ON events (course_id, scheduled_at);
CREATE INDEX idx_events_label ON events (label);
CREATE INDEX idx_events_expected ON events (scheduled_at) WHERE expected IS NULL;

CREATE TABLE qr_sessions (
	id UUID PRIMARY KEY,
	event_id UUID NOT NULL REFERENCES events (id) ON DELETE CASCADE,
	token TEXT NOT NULL,                 -- the nonce of the payload
	key_id TEXT NOT NULL,                -- which QR_SIGNING_SECRET signed it
	slot BIGINT,                         -- display time slot; null for a code made by hand
	created_by UUID NOT NULL REFERENCES users (id),
	created_at TIMESTAMPTZ NOT NULL,
	expires_at TIMESTAMPTZ NOT NULL,
	is_revoked BOOLEAN NOT NULL,
	revoked_at TIMESTAMPTZ,
	revoked_by UUID
);
CREATE UNIQUE INDEX idx_qr_sessions_token ON qr_sessions (token);
CREATE UNIQUE INDEX idx_qr_sessions_slot ON qr_sessions (event_id, slot);
CREATE INDEX idx_qr_sessions_expires ON qr_sessions (expires_at);

CREATE TABLE attendance_records (
	id UUID PRIMARY KEY,
	event_id UUID NOT NULL REFERENCES events (id) ON DELETE CASCADE,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	-- Not IN (…): SQLite builds a temporary table for such a list on every insert, half the cost of a mark.
	status TEXT NOT NULL CHECK (status = 'present' OR status = 'late' OR status = 'excused' OR status = 'absent'
		OR status = 'flagged' OR status = 'rejected'),
	original_status TEXT NOT NULL,
	method TEXT NOT NULL CHECK (method = 'qr' OR method = 'code' OR method = 'manual' OR method = 'import'),
	marked_at TIMESTAMPTZ NOT NULL,      -- the claim's time when there was one
	recorded_at TIMESTAMPTZ NOT NULL,
	qr_session_id UUID,
	nonce TEXT,
	flags TEXT,                          -- comma-separated layers that flagged
	distance_m BIGINT,
	reason TEXT,
	marked_by UUID,                      -- who changed or made it by hand
	changed_at TIMESTAMPTZ,
	dispute_note TEXT,
	disputed_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX idx_attendance_event_user ON attendance_records (event_id, user_id);
CREATE INDEX idx_attendance_user ON attendance_records (user_id, marked_at);

-- Counts of an event's records up to positions('event_counts'); younger records are counted when asked.  No row: nothing counted yet.
CREATE TABLE event_counts (
	event_id UUID PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
	records BIGINT NOT NULL,
	attended BIGINT NOT NULL,            -- present, late or flagged
	present BIGINT NOT NULL              -- present or late
) KEYED;

CREATE TABLE used_nonces (
	nonce TEXT NOT NULL,
	user_id UUID NOT NULL,
	event_id UUID NOT NULL,
	used_at TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (nonce, user_id)
) KEYED;

-- A claim is stateless until it is spent.
CREATE TABLE spent_claims (
	claim_id UUID PRIMARY KEY,
	spent_at TIMESTAMPTZ NOT NULL
) KEYED;

CREATE TABLE verification_logs (
	attendance_id UUID NOT NULL,
	created_at TIMESTAMPTZ NOT NULL,
	layers TEXT NOT NULL,                -- JSON list of {layer,verdict,detail,score}
	PRIMARY KEY (attendance_id, created_at)
) KEYED;

CREATE TABLE devices (
	id UUID PRIMARY KEY,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	device_hash TEXT,
	public_key TEXT,                     -- JWK
	status TEXT NOT NULL CHECK (status IN ('bound','pending','retired')),
	created_at TIMESTAMPTZ NOT NULL,
	decided_at TIMESTAMPTZ,
	decided_by UUID
);
CREATE INDEX idx_devices_user ON devices (user_id, status);
CREATE INDEX idx_devices_hash ON devices (device_hash);

CREATE TABLE face_references (
	id UUID PRIMARY KEY,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	model_sha256 TEXT NOT NULL,
	template BYTEA NOT NULL,
	consent_at TIMESTAMPTZ,
	created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_face_references_user ON face_references (user_id);

-- What happened, and who is told -----------------------------------------------------------------------------------------------
CREATE TABLE audit_logs (
	seq SEQ,
	id UUID NOT NULL,
	created_at TIMESTAMPTZ NOT NULL,
	action TEXT NOT NULL,
	result TEXT NOT NULL,
	actor_id UUID,
	entity_type TEXT,
	entity_id TEXT,
	ip_address TEXT NOT NULL,
	user_agent TEXT NOT NULL,
	request_id TEXT NOT NULL,
	details TEXT NOT NULL                -- JSON object
);
CREATE INDEX idx_audit_logs_created ON audit_logs (created_at);
CREATE INDEX idx_audit_logs_action ON audit_logs (action, seq);
CREATE INDEX idx_audit_logs_actor ON audit_logs (actor_id, seq) WHERE action <> 'attendance_marked';
CREATE INDEX idx_audit_logs_actor_action ON audit_logs (actor_id, action, seq) WHERE action <> 'attendance_marked';

CREATE TABLE notifications (
	seq SEQ,
	id UUID NOT NULL,
	user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	type TEXT NOT NULL,
	title TEXT NOT NULL,
	message TEXT NOT NULL,
	data TEXT NOT NULL,                  -- JSON object
	is_read BOOLEAN NOT NULL,
	created_at TIMESTAMPTZ NOT NULL,
	coalesce_key TEXT                    -- one unread row per user and key
);
CREATE UNIQUE INDEX idx_notifications_id ON notifications (id);
CREATE INDEX idx_notifications_user ON notifications (user_id, is_read, seq);
CREATE UNIQUE INDEX idx_notifications_coalesce ON notifications (user_id, coalesce_key);

CREATE TABLE outbox (
	id UUID PRIMARY KEY,
	recipient TEXT NOT NULL,
	template TEXT NOT NULL,
	data TEXT NOT NULL,                  -- JSON object for the template
	created_at TIMESTAMPTZ NOT NULL,
	next_try_at TIMESTAMPTZ NOT NULL,
	attempts BIGINT NOT NULL,
	last_error TEXT,
	sent_at TIMESTAMPTZ
);
CREATE INDEX idx_outbox_next ON outbox (sent_at, next_try_at);

-- The machinery ---------------------------------------------------------------------------------------------------------------
CREATE TABLE idempotency_keys (
	user_id UUID NOT NULL,
	route TEXT NOT NULL,
	idempotency_key TEXT NOT NULL,
	body_hash TEXT NOT NULL,
	status BIGINT,                       -- null: still running
	content_type TEXT,
	reply TEXT,
	created_at TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (user_id, route, idempotency_key)
) KEYED;
CREATE INDEX idx_idempotency_created ON idempotency_keys (created_at);

CREATE TABLE jobs (
	name TEXT PRIMARY KEY,
	last_started_at TIMESTAMPTZ,
	last_finished_at TIMESTAMPTZ,
	last_error TEXT,
	leader TEXT
) KEYED;

-- How far a job has read attendance_records by id (version 7: ids sort by time).
CREATE TABLE positions (
	name TEXT PRIMARY KEY,
	reached UUID NOT NULL
) KEYED;
INSERT INTO positions (name, reached) VALUES ('event_counts', '00000000-0000-0000-0000-000000000000');
INSERT INTO positions (name, reached) VALUES ('notify_marks', '00000000-0000-0000-0000-000000000000');

-- Rows that invariants over several rows update first (last active admin …).
CREATE TABLE guards (
	name TEXT PRIMARY KEY,
	touched BIGINT NOT NULL
) KEYED;
INSERT INTO guards (name, touched) VALUES ('admins', 0);
