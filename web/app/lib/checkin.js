/*
 * Claim, then complete.  On first contact a code is exchanged for a claim, which needs no login, is timed by the server and bound to a
 * key that this browser keeps; signing in may follow, and the mark counts as of the claim.
 *
 * The check-in under way is kept in IndexedDB, so a reload, a sign-in or a minute without network does not lose it.  There is at most
 * one; a newer scan takes its place, and what comes of the older one is not written over it: `born` tells them apart.  One tab works on
 * it at a time.  What a person gave to it is sent for `who` alone.
 *
 * phase: none      nothing under way
 *        claiming  the code is on its way
 *        account   the claim is safe; sign in to complete
 *        device    the session asks for a registered device, and this is none (`here`: see lib/device.js)
 *        selfie    the session asks for a picture; with `liveness`, for three
 *        marking   the mark is on its way
 *        queued    no network; goes on by itself
 *        waiting   the server asked to wait (`retryAt`)
 *        done      marked; `result` is the server's reply
 *        already   was marked before
 *        refused   `error` says why; with `retry`, the scan is still good and the mark can be tried again
 */
import { effect, signal, untracked } from '@preact/signals';

import { deviceState, signedFor } from './device.js';
import { feedback } from './feedback.js';
import { ApiError, formOf, randomKey, request } from './http.js';
import { makeKey, sign } from './keys.js';
import { api, session, startSession } from './session.js';
import { load, replace, save } from './store.js';

const ID = 'scan';
const PAYLOAD_LIFE_MS = 15 * 60_000; /* an unsent code is not worth keeping longer: it has expired on the server */
const RETRY_MS = 5_000;
const POSITION_MS = 10_000;
const CHALLENGE_LIFE_MS = 50_000; /* the server's is a minute */

export const scan = signal({ phase: 'none' });

/* Refusals that another try may mend: the claim is spent by a success only. */
const mendable = ['face_mismatch', 'device_mismatch', 'outside_geofence', 'network_not_allowed'];
const over = ['done', 'already', 'refused'];
const restless = ['none', 'claiming', 'account', 'marking', 'queued', 'waiting']; /* nobody needs to answer first */
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('muster-checkin') : null;
let timer = 0;
let born = null; /* of what `scan` tells of */

/** The payload in what a camera read, or null: the bare form, or the address of a check-in page. */
export function payloadOf(text) {
	const bare = text.trim().replace(/^https?:\/\/[^\s#]+\/c#/i, '');
	return /^[A-Za-z0-9_-]{40,600}$/.test(bare) ? bare : null;
}

/* A new scan.  `input` is {qr_payload} or {code, event_id}; `onKept` is called when a reload can no longer lose it. */
export async function take(input, onKept = () => undefined) {
	scan.value = { phase: 'claiming' };
	if (await save(ID, { input, born: randomKey(), key: await makeKey(), mark: randomKey(), until: Date.now() + PAYLOAD_LIFE_MS }))
		onKept();
	return work();
}

/** What the person answered: {pictures, liveness}, {device: 'without'}; the check-in goes on. */
export async function answer(given) {
	const rec = await load(ID);
	if (rec && rec.born === born)
		await replace(ID, rec, { ...rec, ...given, who: session.value.user?.id, sent: undefined, mark: randomKey() });
	return work();
}

/** Tries a refused mark again, with everything asked for anew. */
export const retry = () => answer({ held: undefined, where: undefined, pictures: undefined, liveness: undefined, device: undefined });

/* Goes on with what an earlier page left. */
export async function resume() {
	if (restless.includes(scan.value.phase) && await load(ID))
		return work();
	return undefined;
}

export async function dismiss() {
	clearTimeout(timer);
	await replace(ID, { born });
	scan.value = { phase: 'none' };
}

/* Takes down how far the check-in got; failed() knows when a newer scan, or nothing, is in its place. */
async function keep(rec, next) {
	if (!await replace(ID, rec, next))
		throw new Error('replaced');
	return next;
}

async function claim(rec) {
	scan.value = { phase: 'claiming' };
	const reply = await request('/api/attendance/claim', { method: 'POST', body: { ...rec.input, public_key: rec.key?.jwk } });
	const { input, ...rest } = rec;
	return keep(rec, { ...rest, claim: reply.claim, event: reply.event, until: Date.now() + lifeOf(reply.expires_at) });
}

/* How long the claim lives, were this device's clock right; a wrong clock must not end it early. */
function lifeOf(expiresAt) {
	const ms = Date.parse(expiresAt) - Date.now();
	return ms > 30_000 && ms < 3_600_000 ? ms : PAYLOAD_LIFE_MS;
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

const campus = (rec) => rec.event.kind === 'session' && session.value.user?.role === 'student';
const stale = (at) => Date.now() - at > CHALLENGE_LIFE_MS;

/* What only the person can give before the mark can be sent: a phase, or null. */
async function missing(rec) {
	if (!campus(rec))
		return null;
	const { asks } = rec.event;
	if (asks.device && !rec.device) {
		const { here } = await deviceState();
		if (here !== 'bound')
			return { phase: 'device', here };
	}
	if (asks.face && (!rec.pictures || (rec.liveness && stale(rec.liveness.at))))
		return { phase: 'selfie', liveness: !!asks.liveness };
	return null;
}

/* What the mark says.  Made once: a repeated request must be the same to the letter.  A signed challenge that got too old is made anew. */
async function compose(rec) {
	if (rec.sent && !(rec.sent.device_challenge && stale(rec.sentAt)))
		return rec;
	const sent = { claim: rec.claim, proof: rec.key ? await sign(rec.key, rec.claim) : undefined };
	if (campus(rec)) {
		rec.where ??= rec.event.asks.place ? await position() : {};
		Object.assign(sent, rec.where, await signedFor(rec.claim), rec.liveness && { liveness_challenge: rec.liveness.challenge });
	}
	return keep(rec, { ...rec, who: session.value.user?.id, sent, sentAt: Date.now(), mark: rec.sent ? randomKey() : rec.mark });
}

async function mark(rec) {
	scan.value = { phase: 'marking', event: rec.event };
	const { sent, mark: key, pictures } = await compose(rec);
	if (!campus(rec))
		return api('/api/attendance/mark', { method: 'POST', body: sent, key });
	const what = pictures?.length ? { form: formOf(sent, 'selfie', pictures) } : { body: sent };
	return api('/api/v1/student/attendance', { method: 'POST', ...what, key });
}

async function finish(rec, next, kind) {
	if (!await replace(ID, rec))
		return;
	scan.value = next;
	feedback(kind);
	const { error, ...rest } = next;
	channel?.postMessage(error ? { ...rest, error: { code: error.code, message: error.message } } : rest);
}

function later(ms) {
	clearTimeout(timer);
	timer = setTimeout(resume, ms);
}

async function failed({ born: was }, e) {
	const rec = await load(ID);
	if (!rec || rec.born !== was)
		return undefined; /* a newer scan has a step of its own */
	const event = rec.event ?? null;
	if (!(e instanceof ApiError)) {
		scan.value = { phase: 'refused', event, error: { code: 'internal_error' }, retry: true };
		throw e;
	}
	if (e.code === 'duplicate_attendance')
		return finish(rec, { phase: 'already', event, result: e.body }, 'good');
	if (e.status === 429 || e.underWay) {
		const wait = Math.max(1, e.retryAfter) * 1000;
		scan.value = { phase: 'waiting', event, retryAt: performance.now() + wait };
		return later(wait);
	}
	if (e.unknown) {
		scan.value = { phase: 'queued', event, until: rec.until, claimed: !!rec.claim };
		return later(Math.max(RETRY_MS, e.retryAfter * 1000));
	}
	if (e.status === 401)
		return signInFirst(rec);
	if (rec.claim && mendable.includes(e.code)) {
		const held = { code: e.code, message: e.message, layers: e.body.details?.layers };
		await keep(rec, { ...rec, held });
		feedback('bad');
		return hold({ ...rec, held });
	}
	return finish(rec, { phase: 'refused', event, error: e }, 'bad');
}

function hold(rec) {
	scan.value = { phase: 'refused', event: rec.event, error: rec.held, retry: true };
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
	born = rec.born;
	try {
		if (rec.until < Date.now())
			throw new ApiError(400, rec.claim ? 'claim_expired' : 'token_expired');
		if (!rec.claim)
			rec = await claim(rec);
		if (session.value.state === 'offline')
			await startSession();
		await goOn(rec);
	} catch (e) {
		await failed(rec, e);
	}
}

async function goOn(rec) {
	const { state, user } = session.value;
	if (state === 'offline')
		throw new ApiError(0, 'offline');
	if (state === 'out')
		signInFirst(rec);
	else if (state === 'starting')
		scan.value = { phase: 'marking', event: rec.event };
	else if (rec.who && rec.who !== user.id)
		await dismiss();
	else if (rec.held)
		hold(rec);
	else
		await complete(rec);
}

async function complete(rec) {
	const asked = await missing(rec);
	if (asked)
		scan.value = { ...asked, event: rec.event, until: rec.until };
	else
		await finish(rec, { phase: 'done', event: rec.event, result: await mark(rec) }, 'good');
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
		if (session.value.state !== 'starting')
			untracked(resume);
	});
}
