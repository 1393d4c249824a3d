/*
 * Who is signed in, and the access token, which lives in this module's memory and nowhere else.
 *
 * The refresh token is an HttpOnly cookie that all tabs share, and each use replaces it.  So tabs take turns (Web Locks), and before a
 * tab spends the cookie it asks the others for the access token they may have just got (BroadcastChannel); each tab holds a shared lock,
 * so it is known how many answers there will be.  Without these (plain HTTP on a LAN) the server gives a predecessor presented again within 15 s the same successor.
 *
 * localStorage holds one hint, "a cookie may be there", so that a stranger's first visit does not ask in vain.
 */
import { signal } from '@preact/signals';

import { ApiError, request } from './http.js';

const HINT = 'muster.session';
const EARLY_MS = 20_000; /* a token this close to its end is renewed first */
const PEER_MS = 150;     /* how long another tab gets to answer, when nobody knows whether there is one */
const BUSY_PEER_MS = 1_500;
const TAB = 'muster-tab';

/** state: starting, out, in, offline (a cookie may be there, but the server cannot be reached) */
export const session = signal({ state: 'starting', user: null, ended: false });

let access = null; /* { token, until, user } */
let refreshing = null;
let asked = null;  /* of other tabs: {answers, done} */
const left = new Set(); /* called when the account changes or leaves */
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('muster-session') : null;

export const onAccountChange = (fn) => left.add(fn);

function hint(on) {
	try {
		if (on)
			localStorage.setItem(HINT, '1');
		else
			localStorage.removeItem(HINT);
	} catch {
		/* no storage: the hint is a convenience */
	}
}

function hinted() {
	try {
		return localStorage.getItem(HINT) === '1';
	} catch {
		return true;
	}
}

const fresh = () => access && access.until - EARLY_MS > Date.now();

function adopt(next, { tell }) {
	const changed = access?.user?.id !== next.user.id;
	access = next;
	hint(true);
	if (changed)
		left.forEach((fn) => fn());
	if (changed || session.value.state !== 'in' || session.value.user?.role !== next.user.role)
		session.value = { state: 'in', user: next.user, ended: false };
	if (tell)
		channel?.postMessage({ kind: 'token', access });
}

function drop({ ended }) {
	const was = session.value.state;
	access = null;
	hint(false);
	left.forEach((fn) => fn());
	session.value = { state: 'out', user: null, ended: ended && was === 'in' };
}

if (channel)
	channel.onmessage = ({ data }) => {
		if (data.kind === 'ask')
			channel.postMessage(fresh() && access.token !== data.stale ? { kind: 'token', access } : { kind: 'none' });
		else if (data.kind === 'token') {
			adopt(data.access, { tell: false });
			asked?.done(true);
		} else if (data.kind === 'none') {
			if (asked && --asked.answers === 0)
				asked.done(false);
		} else if (data.kind === 'out')
			drop({ ended: false });
	};

navigator.locks?.request(TAB, { mode: 'shared' }, () => new Promise(() => undefined)).catch(() => undefined);

/* How many other tabs there are; NaN where that cannot be known. */
async function peers() {
	try {
		return (await navigator.locks.query()).held.filter((l) => l.name === TAB).length - 1;
	} catch {
		return NaN;
	}
}

async function askPeers(stale) {
	const answers = await peers();
	if (!channel || answers <= 0)
		return false;
	return new Promise((resolve) => {
		const done = (answer) => {
			clearTimeout(timer);
			asked = null;
			resolve(answer);
		};
		const timer = setTimeout(done, answers ? BUSY_PEER_MS : PEER_MS, false);
		asked = { answers, done };
		channel.postMessage({ kind: 'ask', stale });
	});
}

const locked = (fn) => (navigator.locks ? navigator.locks.request('muster-refresh', fn) : fn());

async function fromReply(reply) {
	const token = reply.access_token;
	const user = reply.user?.full_name ? reply.user : await request('/api/auth/me', { bearer: token });
	return { token, until: Date.now() + reply.expires_in * 1000, user };
}

/* One at a time in this tab, and one tab at a time. */
function refresh(stale) {
	refreshing ??= locked(async () => {
		if (fresh() && access.token !== stale)
			return;
		if (await askPeers(stale))
			return;
		try {
			adopt(await fromReply(await request('/api/auth/refresh', { method: 'POST', web: true })), { tell: true });
		} catch (e) {
			if (e.status >= 400 && e.status < 500 && e.status !== 429)
				drop({ ended: true });
			throw e;
		}
	}).finally(() => {
		refreshing = null;
	});
	return refreshing;
}

/* Finds out whether somebody is signed in; never throws. */
export async function startSession() {
	if (!hinted()) {
		session.value = { state: 'out', user: null, ended: false };
		return;
	}
	try {
		await refresh(null);
	} catch {
		if (session.value.state === 'starting')
			session.value = { state: 'offline', user: null, ended: false };
	}
}

/*
 * One of the ways in: posts, and is signed in when tokens come back.  Gives the reply, which may ask for a second factor (mfa_token) or
 * say that an administrator has to approve the account.
 */
export function enter(path, body) {
	return locked(async () => {
		const reply = await request(path, { method: 'POST', body, web: true });
		if (reply?.access_token)
			adopt(await fromReply(reply), { tell: true });
		return reply ?? {};
	});
}

/* Gives the token that a second factor completes, or nothing when that was all. */
export async function signIn(username, password) {
	const reply = await enter('/api/auth/login', { username, password });
	if (!reply.access_token && !reply.mfa_token)
		throw new ApiError(200, 'unavailable');
	return reply.mfa_token;
}

export async function signOut() {
	try {
		await locked(() => request('/api/auth/logout', { method: 'POST', bearer: access?.token, web: true }));
	} finally {
		drop({ ended: false });
		channel?.postMessage({ kind: 'out' });
	}
}

/* A request as the signed-in account; an access token that ended is renewed once. */
export async function api(path, options = {}) {
	if (!fresh())
		await refresh(access?.token ?? null);
	const used = access?.token;
	try {
		return await request(path, { ...options, bearer: used });
	} catch (e) {
		if (e.status !== 401)
			throw e;
	}
	await refresh(used);
	return request(path, { ...options, bearer: access?.token });
}
