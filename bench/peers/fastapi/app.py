"""Portal's hottest routes as a FastAPI service would be written: SQLAlchemy Core, pydantic, PyJWT, bcrypt, two gunicorn workers.

It works on the database that `bench/seed` made, so schema, rows, indexes, tokens and codes are Muster's, and a request file made for
one is good for the other.  SQLite: WAL, synchronous=FULL, work in Starlette's threads, one writer a process.  PostgreSQL: asyncpg
with prepared statements.  Statistics are kept for ten seconds, as Muster does.

Started by bench/peers.mjs:  PEER='{…}' gunicorn -w 2 -k uvicorn.workers.UvicornWorker app:app
"""
import base64
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import List, Optional

import bcrypt
import jwt
import sqlalchemy as sa
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import create_async_engine

PEER = json.loads(os.environ["PEER"])  # postgres {host,user,database} or sqlite (a path), access_kid, access_key, qr_key (hex), issuer, audience
ON_POSTGRES = "postgres" in PEER
ACCESS_KEY, QR_KEY = bytes.fromhex(PEER["access_key"]), bytes.fromhex(PEER["qr_key"])
insert = postgresql.insert if ON_POSTGRES else sqlite.insert

# --- tables: the columns that are used here -----------------------------------------------------------------------------------

Id = postgresql.UUID(as_uuid=False) if ON_POSTGRES else sa.String
Time = sa.DateTime(timezone=ON_POSTGRES)
meta = sa.MetaData()


def table(name, **columns):
    return sa.Table(name, meta, *[sa.Column(c, t) for c, t in columns.items()])


users = table("users", id=Id, email=sa.String, full_name=sa.String, role=sa.String, is_active=sa.Boolean, password_hash=sa.String,
              created_at=Time)
sessions = table("sessions", id=Id, user_id=Id, created_at=Time, login_at=Time, expires_at=Time, last_used_at=Time, revoked_at=Time,
                 ip_address=sa.String, user_agent=sa.String, web=sa.Boolean, mfa=sa.Boolean)
refresh_tokens = table("refresh_tokens", id=Id, session_id=Id, token_hash=sa.String, key_id=sa.String, successor_salt=sa.String,
                       issued_at=Time, expires_at=Time)
events = table("events", id=Id, kind=sa.String, title=sa.String, description=sa.String, notes=sa.String, scheduled_at=Time,
               ends_at=Time, course_id=Id, owner_id=Id, capacity=sa.Integer, expected=sa.Integer, is_deleted=sa.Boolean, created_at=Time)
event_counts = table("event_counts", event_id=Id, records=sa.Integer, attended=sa.Integer, present=sa.Integer)
qr_sessions = table("qr_sessions", id=Id, event_id=Id, token=sa.String, expires_at=Time, is_revoked=sa.Boolean)
enrollments = table("enrollments", course_id=Id, user_id=Id)
records = table("attendance_records", id=Id, event_id=Id, user_id=Id, status=sa.String, original_status=sa.String, method=sa.String,
                marked_at=Time, recorded_at=Time, qr_session_id=Id, nonce=sa.String)
used_nonces = table("used_nonces", nonce=sa.String, user_id=Id, event_id=Id, used_at=Time)
verification_logs = table("verification_logs", attendance_id=Id, created_at=Time, layers=sa.String)
approval_requests = table("approval_requests", id=Id, status=sa.String, expires_at=Time)
audit_logs = table("audit_logs", id=Id, created_at=Time, action=sa.String, result=sa.String, actor_id=Id, entity_type=sa.String,
                   entity_id=sa.String, ip_address=sa.String, user_agent=sa.String, request_id=Id, details=sa.String)

# --- the database -------------------------------------------------------------------------------------------------------------

if ON_POSTGRES:
    engine = create_async_engine("postgresql+asyncpg://", pool_size=10, max_overflow=0, connect_args=PEER["postgres"])
else:
    engine = sa.create_engine("sqlite:///" + PEER["sqlite"], pool_size=40, max_overflow=0, poolclass=sa.pool.QueuePool, future=True,
                              connect_args={"check_same_thread": False, "timeout": 30, "isolation_level": None})
    writing = threading.Lock()  # waiting here is fair; SQLite's own waiting is not

    @sa.event.listens_for(engine, "connect")
    def prepare(connection, _):
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536; PRAGMA foreign_keys=ON")


def _read(work, args):
    with engine.connect() as connection:
        return work(connection, *args)


def _write(work, args):
    with writing, engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return work(connection, *args)


async def read(work, *args):
    if ON_POSTGRES:
        async with engine.connect() as connection:
            return await connection.run_sync(work, *args)
    return await run_in_threadpool(_read, work, args)


async def write(work, *args):
    if ON_POSTGRES:
        async with engine.begin() as connection:
            return await connection.run_sync(work, *args)
    return await run_in_threadpool(_write, work, args)


def now():
    return datetime.now(timezone.utc) if ON_POSTGRES else datetime.utcnow()


def new_id():
    """A UUID of version 7, so that indexes grow at their end."""
    n = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0x2 << 62 | secrets.randbits(62)
    h = f"{n:032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# --- who asks -----------------------------------------------------------------------------------------------------------------

app = FastAPI()


@app.exception_handler(HTTPException)
async def refused(_, e):
    return JSONResponse({"detail": e.detail, "code": e.detail}, e.status_code)


class Actor(BaseModel):
    id: str
    email: str
    full_name: str
    role: str
    is_active: bool
    created_at: datetime


WHO = (sa.select(users.c.id, users.c.email, users.c.full_name, users.c.role, users.c.is_active, users.c.created_at)
       .join(sessions, sessions.c.user_id == users.c.id)
       .where(sessions.c.id == sa.bindparam("sid"), users.c.id == sa.bindparam("sub"), sessions.c.revoked_at.is_(None),
              sessions.c.expires_at > sa.bindparam("now"), users.c.is_active))


def claims_of(authorization: str = Header("")):
    try:
        token = authorization[7:]
        if jwt.get_unverified_header(token).get("kid") != PEER["access_kid"]:
            raise jwt.InvalidTokenError
        return jwt.decode(token, ACCESS_KEY, ["HS256"], issuer=PEER["issuer"], audience=PEER["audience"])
    except jwt.PyJWTError:
        raise HTTPException(401, "UNAUTHORIZED")


def find_actor(connection, claims):
    row = connection.execute(WHO, {"sid": claims["sid"], "sub": claims["sub"], "now": now()}).mappings().first()
    if row is None:
        raise HTTPException(401, "UNAUTHORIZED")
    return row


async def actor_of(claims=Depends(claims_of)):
    return await read(find_actor, claims)


def administrator(actor=Depends(actor_of)):
    if actor["role"] != "admin":
        raise HTTPException(403, "FORBIDDEN")
    return actor


# --- sign in ------------------------------------------------------------------------------------------------------------------

class Login(BaseModel):
    username: str
    password: str


class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int
    user: Actor


DECOY = bcrypt.hashpw(secrets.token_hex(16).encode(), bcrypt.gensalt(12))


def audit(request, actor_id, action, entity_type, entity_id, details):
    return {"id": new_id(), "created_at": now(), "action": action, "result": "success", "actor_id": actor_id,
            "entity_type": entity_type, "entity_id": entity_id, "ip_address": request.client.host,
            "user_agent": request.headers.get("user-agent", ""), "request_id": new_id(), "details": json.dumps(details)}


def find_user(connection, email):
    return connection.execute(sa.select(users).where(users.c.email == email)).mappings().first()


def open_session(connection, request, user):
    at, sid, refresh = now(), new_id(), secrets.token_urlsafe(32)
    agent = request.headers.get("user-agent", "")
    connection.execute(sa.update(sessions).where(sessions.c.user_id == user["id"], sessions.c.revoked_at.is_(None)).values(revoked_at=at))
    connection.execute(sa.insert(sessions), {"id": sid, "user_id": user["id"], "created_at": at, "login_at": at, "last_used_at": at,
                       "expires_at": at + timedelta(days=30), "ip_address": request.client.host, "user_agent": agent,
                       "web": False, "mfa": False})
    connection.execute(sa.insert(refresh_tokens), {"id": new_id(), "session_id": sid, "key_id": "peer", "successor_salt": "",
                       "token_hash": b64url(hashlib.sha256(refresh.encode()).digest()), "issued_at": at,
                       "expires_at": at + timedelta(days=7)})
    connection.execute(sa.insert(audit_logs), audit(request, user["id"], "login", "session", sid, {}))
    return sid, refresh


@app.post("/api/auth/login", response_model=Tokens)
async def login(body: Login, request: Request):
    user = await read(find_user, body.username.strip().lower())
    stored = user["password_hash"].encode() if user else DECOY
    if not await run_in_threadpool(bcrypt.checkpw, body.password.encode(), stored) or not user or not user["is_active"]:
        raise HTTPException(401, "INVALID_CREDENTIALS")
    sid, refresh = await write(open_session, request, user)
    at = int(time.time())
    token = jwt.encode({"iss": PEER["issuer"], "aud": PEER["audience"], "sub": user["id"], "sid": sid, "role": user["role"], "iat": at,
                        "exp": at + 900, "jti": new_id(), "typ": "access"}, ACCESS_KEY, "HS256", {"kid": PEER["access_kid"]})
    return {"access_token": token, "refresh_token": refresh, "expires_in": 900, "user": dict(user)}


@app.get("/api/auth/me", response_model=Actor)
async def me(actor=Depends(actor_of)):
    return dict(actor)


# --- attendance ---------------------------------------------------------------------------------------------------------------

class Mark(BaseModel):
    qr_payload: str


class MarkedEvent(BaseModel):
    id: str
    title: str
    scheduled_at: datetime


class Marked(BaseModel):
    attendance_id: str
    event: MarkedEvent
    marked_at: datetime
    message: str


CODE = (sa.select(qr_sessions.c.token, qr_sessions.c.expires_at, qr_sessions.c.is_revoked, events.c.id, events.c.title,
                  events.c.scheduled_at, events.c.ends_at, events.c.is_deleted, records.c.id.label("record_id"),
                  sa.exists().where(used_nonces.c.nonce == qr_sessions.c.token, used_nonces.c.user_id == sa.bindparam("who"))
                  .label("nonce_used"),
                  sa.exists().where(enrollments.c.course_id == events.c.course_id).label("has_roster"),
                  sa.exists().where(enrollments.c.course_id == events.c.course_id, enrollments.c.user_id == sa.bindparam("who"))
                  .label("enrolled"))
        .join(events, events.c.id == qr_sessions.c.event_id)
        .outerjoin(records, sa.and_(records.c.event_id == events.c.id, records.c.user_id == sa.bindparam("who")))
        .where(qr_sessions.c.id == sa.bindparam("code")))
LAYERS = json.dumps([{"layer": name, "verdict": "pass"} for name in ("signature", "qr", "time", "event", "roster", "nonce", "duplicate")])


def read_code(payload):
    try:
        p = json.loads(base64.urlsafe_b64decode(payload.rsplit("#", 1)[-1] + "=="))
        text = f"muster.qr.v1\n{p['s']}\n{p['n']}\n{p['x']}".encode()
    except (ValueError, KeyError, TypeError):
        raise HTTPException(400, "INVALID_QR")
    if not hmac.compare_digest(b64url(hmac.digest(QR_KEY, text, "sha256")), str(p.get("h"))):
        raise HTTPException(400, "INVALID_SIGNATURE")
    return p


def write_mark(connection, request, claims, code):
    who, at, record_id = find_actor(connection, claims)["id"], now(), new_id()
    row = connection.execute(CODE, {"code": code["s"], "who": who}).mappings().first()
    if row is None or row["token"] != code["n"] or row["is_deleted"]:
        raise HTTPException(400, "INVALID_QR")
    if row["is_revoked"] or row["expires_at"] <= at or (row["ends_at"] and row["ends_at"] <= at):
        raise HTTPException(400, "QR_EXPIRED")
    if row["has_roster"] and not row["enrolled"]:
        raise HTTPException(403, "NOT_ENROLLED")
    if row["record_id"] or row["nonce_used"]:
        raise HTTPException(409, "DUPLICATE_ATTENDANCE")
    written = connection.execute(insert(records).on_conflict_do_nothing(), {
        "id": record_id, "event_id": row["id"], "user_id": who, "status": "present", "original_status": "present", "method": "qr",
        "marked_at": at, "recorded_at": at, "qr_session_id": code["s"], "nonce": code["n"]})
    if written.rowcount != 1:
        raise HTTPException(409, "DUPLICATE_ATTENDANCE")
    connection.execute(sa.insert(used_nonces), {"nonce": code["n"], "user_id": who, "event_id": row["id"], "used_at": at})
    connection.execute(sa.insert(verification_logs), {"attendance_id": record_id, "created_at": at, "layers": LAYERS})
    connection.execute(sa.insert(audit_logs), audit(request, who, "attendance_marked", "attendance_record", record_id,
                                                    {"event_id": row["id"], "status": "present", "method": "qr"}))
    return {"attendance_id": record_id, "event": dict(row), "marked_at": at, "message": "Your attendance is marked."}


@app.post("/api/attendance/mark", status_code=201, response_model=Marked)
async def mark(body: Mark, request: Request, claims=Depends(claims_of)):
    return await write(write_mark, request, claims, read_code(body.qr_payload))


# --- lists and statistics -----------------------------------------------------------------------------------------------------

class Event(BaseModel):
    id: str
    title: str
    description: Optional[str]
    scheduled_at: datetime
    ends_at: Optional[datetime]
    notes: Optional[str]
    course_id: Optional[str]
    capacity: Optional[int]
    created_by: str
    created_at: datetime
    user_attended: bool
    attendance_count: int


class Events(BaseModel):
    events: List[Event]


EVENTS = (sa.select(events.c.id, events.c.title, events.c.description, events.c.scheduled_at, events.c.ends_at, events.c.notes,
                    events.c.course_id, events.c.capacity, events.c.owner_id.label("created_by"), events.c.created_at,
                    events.c.id.in_(sa.select(records.c.event_id).where(records.c.user_id == sa.bindparam("who"))).label("user_attended"),
                    sa.func.coalesce(event_counts.c.attended, 0).label("attendance_count"))
          .outerjoin(event_counts, event_counts.c.event_id == events.c.id)
          .where(events.c.scheduled_at.between(sa.bindparam("begin"), sa.bindparam("end")), ~events.c.is_deleted,
                 events.c.kind == "event").order_by(events.c.scheduled_at, events.c.id))


def find_events(connection, who):
    return connection.execute(EVENTS, {"who": who, "begin": now() - timedelta(days=30), "end": now() + timedelta(days=90)}).mappings().all()


@app.get("/api/events", response_model=Events)
async def list_events(actor=Depends(actor_of)):
    return {"events": await read(find_events, actor["id"])}


kept = {"until": 0.0, "value": None}


def count(connection):
    people = connection.execute(sa.select(sa.func.count(), sa.func.count(sa.case((users.c.role == "admin", 1)))).select_from(users)
                                .where(users.c.is_active)).first()
    pending = connection.execute(sa.select(sa.func.count()).select_from(approval_requests)
                                 .where(approval_requests.c.status == "pending", approval_requests.c.expires_at > now())).scalar()
    over = sa.func.coalesce(events.c.ends_at, events.c.scheduled_at) <= now()
    total = connection.execute(
        sa.select(sa.func.count(), sa.func.count(sa.case((events.c.scheduled_at > now(), 1))),
                  sa.func.coalesce(sa.func.sum(event_counts.c.records), 0),
                  sa.func.coalesce(sa.func.sum(sa.case((over, event_counts.c.present), else_=0)), 0),
                  sa.func.coalesce(sa.func.sum(sa.case((over, events.c.expected), else_=0)), 0))
        .select_from(events.outerjoin(event_counts, event_counts.c.event_id == events.c.id))
        .where(events.c.kind == "event", ~events.c.is_deleted)).first()
    return {"users": {"total": people[0], "students": people[0] - people[1], "admins": people[1], "pending_approvals": pending},
            "events": {"total": total[0], "upcoming": total[1]},
            "attendance": {"total_records": int(total[2]),
                           "average_attendance_rate": round(100 * float(total[3]) / float(total[4]), 1) if total[4] else 0}}


@app.get("/api/admin/stats")
async def stats(_=Depends(administrator)):
    if time.monotonic() >= kept["until"]:
        kept["value"] = await read(count)
        kept["until"] = time.monotonic() + 10
    return kept["value"]


@app.get("/v1/health")
async def health():
    return {"status": "ok"}
