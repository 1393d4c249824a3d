/*
 * Claim, then complete.  On first contact a code is exchanged for a claim, which needs no login, is timed by the server and bound to a
 * key that this browser keeps; signing in may follow, and the mark counts as of the claim.
 *
 * The check-in under way is kept in IndexedDB, so a reload, a sign-in or a minute without network does not lose it.  There is at most
 * one; a newer scan takes its place.  One tab works on it at a time.
 *
 * phase: none      nothing under way
 *        claiming  the code is on its way
 *        account   the claim is safe; sign in to complete
 *        marking   the mark is on its way
 *        queued    no network; goes on by itself
 *        waiting   the server asked to wait (`retryAt`)
 *        done      marked; `result` is the server's reply
 *        already   was marked before
 *        refused   `error` says why
 */
import { effect, signal } from '@preact/signals';

import { feedback } from './feedback.js';
import { ApiError, randomKey, request } from './http.js';
import { api, session } from './session.js';
import { forget, load, save } from './store.js';

const ID = 'scan';
const PAYLOAD_LIFE_MS = 15 * 60_000; /* an unsent code is not worth keeping longer: it has expired on the server */
const RETRY_MS = 5_000;
const POSITION_MS = 10_000;

export const scan = signal({ phase: 'none' });

const over = ['done', 'already', 'refused'];
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('muster-checkin') : null;
let timer = 0;

/** The payload in what a camera read, or null: the bare form, or the address of a check-in page. */
export function payloadOf(text) {
	const bare = text.trim().replace(/^https?:\/\/[^\s#]+\/c#/i, '');
	return /^[A-Za-z0-9_-]{40,600}$/.test(bare) ? bare : null;
}

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');

async function makeKey() {
	if (!crypto.subtle) /* plain HTTP on a LAN: a trial server takes claims without a key */
		return null;
	const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
	const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', pair.publicKey);
	return { privateKey: pair.privateKey, jwk: { kty, crv, x, y } };
}

async function prove(rec) {
	if (!rec.key)
		return undefined;
	const text = new TextEncoder().encode(rec.claim);
	return base64url(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, rec.key.privateKey, text));
}

/* A new scan.  `input` is {qr_payload} or {code, event_id}; `onKept` is called when a reload can no longer lose it. */
export async function take(input, onKept = () => undefined) {
	scan.value = { phase: 'claiming' };
	await save(ID, { input, key: await makeKey(), mark: randomKey(), until: Date.now() + PAYLOAD_LIFE_MS });
	onKept();
	return work();
}

/* Goes on with what an earlier page left. */
export async function resume() {
	if (['none', 'queued', 'account', 'waiting'].includes(scan.value.phase) && await load(ID))
		return work();
	return undefined;
}

export async function dismiss() {
	clearTimeout(timer);
	await forget(ID);
	scan.value = { phase: 'none' };
}

async function claim(rec) {
	scan.value = { phase: 'claiming' };
	const reply = await request('/api/attendance/claim', { method: 'POST', body: { ...rec.input, public_key: rec.key?.jwk } });
	const { input, ...rest } = rec;
	const next = { ...rest, session: input.qr_payload && sessionOf(input.qr_payload), claim: reply.claim, event: reply.event, until: Date.now() + lifeOf(reply.expires_at) };
	await save(ID, next);
	return next;
}

/* How long the claim lives, were this device's clock right; a wrong clock must not end it early. */
function lifeOf(expiresAt) {
	const ms = Date.parse(expiresAt) - Date.now();
	return ms > 30_000 && ms < 3_600_000 ? ms : PAYLOAD_LIFE_MS;
}

/* The session of a rotating code: its nonce has a dot, an event's code has none. */
function sessionOf(payload) {
	try {
		const { s, n } = JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/')));
		return n.includes('.') ? s : null;
	} catch {
		return null;
	}
}

/* Where this device is, if the person allows it; a session with a place is marked without it too, and reviewed. */
function position() {
	return new Promise((resolve) => {
		if (!navigator.geolocation)
			resolve({});
		else
			navigator.geolocation.getCurrentPosition(
				({ coords }) => resolve({ latitude: coords.latitude, longitude: coords.longitude, accuracy: coords.accuracy }),
				() => resolve({}), { enableHighAccuracy: true, timeout: POSITION_MS, maximumAge: 60_000 });
	});
}

/* Asked for only where the session has a place. */
async function whereabouts(id) {
	const { sessions } = await api('/api/v1/student/sessions').catch(() => ({ sessions: [] }));
	return sessions.find((s) => s.id === id)?.geofence_radius_m ? position() : {};
}

async function mark(rec) {
	scan.value = { phase: 'marking', event: rec.event };
	const body = { claim: rec.claim, proof: await prove(rec) };
	if (!rec.session || session.value.user.role !== 'student')
		return api('/api/attendance/mark', { method: 'POST', body, key: rec.mark });
	if (!rec.where) { /* a repeated request must be the same to the letter */
		rec.where = await whereabouts(rec.session);
		await save(ID, rec);
	}
	return api('/api/v1/student/attendance', { method: 'POST', body: { ...body, ...rec.where }, key: rec.mark });
}

async function finish(next, kind) {
	await forget(ID);
	scan.value = next;
	feedback(kind);
	const { error, ...rest } = next;
	channel?.postMessage(error ? { ...rest, error: { code: error.code, message: error.message } } : rest);
}

function later(ms) {
	clearTimeout(timer);
	timer = setTimeout(resume, ms);
}

async function failed(rec, e) {
	const event = rec.event ?? null;
	if (!(e instanceof ApiError))
		throw e;
	if (e.code === 'duplicate_attendance')
		return finish({ phase: 'already', event, result: e.body }, 'good');
	if (e.unknown) {
		scan.value = { phase: 'queued', event, until: rec.until, claimed: !!rec.claim };
		return later(Math.max(RETRY_MS, e.retryAfter * 1000));
	}
	if (e.status === 429) {
		const wait = Math.max(1, e.retryAfter) * 1000;
		scan.value = { phase: 'waiting', event, retryAt: performance.now() + wait };
		return later(wait);
	}
	if (e.status === 401)
		return signInFirst(rec);
	return finish({ phase: 'refused', event, error: e }, 'bad');
}

function signInFirst(rec) {
	scan.value = { phase: 'account', event: rec.event, until: rec.until };
}

async function step() {
	clearTimeout(timer);
	let rec = await load(ID);
	if (!rec) { /* completed already, here or in another tab, which says so itself */
		if (!over.includes(scan.value.phase))
			scan.value = { phase: 'none' };
		return;
	}
	try {
		if (rec.until < Date.now())
			throw new ApiError(400, rec.claim ? 'claim_expired' : 'token_expired');
		if (!rec.claim)
			rec = await claim(rec);
		if (session.value.state === 'out')
			signInFirst(rec);
		else if (session.value.state === 'starting')
			scan.value = { phase: 'marking', event: rec.event };
		else
			await finish({ phase: 'done', event: rec.event, result: await mark(rec) }, 'good');
	} catch (e) {
		await failed(rec, e);
	}
}

let working = null;

function work() {
	const run = () => (navigator.locks ? navigator.locks.request('muster-checkin', step) : step());
	working = (working ?? Promise.resolve()).then(run, run);
	return working;
}

export function startCheckin() {
	if (channel)
		channel.onmessage = ({ data }) => {
			if (scan.value.phase !== 'none' && !over.includes(scan.value.phase))
				scan.value = data;
		};
	addEventListener('online', resume);
	addEventListener('visibilitychange', () => document.visibilityState === 'visible' && resume());
	effect(() => {
		const { state } = session.value;
		const { phase } = scan.peek();
		if (state !== 'starting' && (phase === 'account' || phase === 'marking' || phase === 'none'))
			load(ID).then((rec) => rec && work());
	});
}
