/*
 * What a screen of a room shows, pushed by the server: the present code, how many there are, who came last.  The stream opens by a
 * display token, which is no login, so signing in elsewhere does not end it.  Times are the server's, counted on by this device's
 * monotonic clock, so a wrong clock does not matter.
 *
 * The token is made by whoever is signed in, or comes in the fragment of a link that was made for another computer.  The first lives in
 * this module's memory.  Such a link is out of the address bar before anything else happens; what it brought is kept for this tab
 * alone, so that a reload needs it no second time, and is forgotten when the server does not take it any more or the session is over.
 */
import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';

import { follow } from './events.js';
import { takeFragment } from './fragment.js';
import { ApiError, request } from './http.js';
import { pageOf, place } from './router.js';
import { api } from './session.js';

const made = new Map(); /* by API path, while this page lives */
const KEPT = 'muster.display';
const nothing = { path: null, token: null };
const handed = signal(nothing);

function keep(what) {
	try {
		if (what)
			sessionStorage.setItem(KEPT, JSON.stringify(what));
		else
			sessionStorage.removeItem(KEPT);
	} catch {
		/* no storage: a reload needs the link again */
	}
}

function kept() {
	try {
		return JSON.parse(sessionStorage.getItem(KEPT)) ?? nothing;
	} catch {
		return nothing;
	}
}

/* At startup, and when a link is opened where the page is open already. */
export function startDisplays() {
	const take = () => {
		if (pageOf(location.pathname).page?.screen && location.hash)
			keep(handed.value = { path: location.pathname, token: takeFragment() });
	};
	handed.value = kept();
	take();
	addEventListener('hashchange', take);
}

/** The token that this page's link brought; it shows the page to somebody who is not signed in. */
export const handedToken = () => (handed.value.path === place.value ? handed.value.token : null);

function shownOf(frame) {
	const at = Date.parse(frame.server_time), ends = Date.parse(frame.expires_at);
	return {
		payload: frame.qr_payload, code: frame.code, label: frame.label ?? null, until: performance.now() + (ends - at),
		life: Math.max(1, (ends - Date.parse(frame.issued_at)) / 1000),
	};
}

async function openFrames(base, token, signal) {
	if (!token && !made.has(base))
		made.set(base, (await api(`${base}/display`, { method: 'POST' })).display_token);
	try {
		return await request(`${base}/frames`, { bearer: token ?? made.get(base), as: 'stream', signal });
	} catch (error) {
		made.delete(base);
		throw token && [401, 403].includes(error.status) ? new ApiError(error.status, 'display_ended') : error;
	}
}

/** {frame, shown: {payload, code, label, until, life}, count, latest, lost, over}; `base` is the event's or session's path in the API. */
export function useFrames(base, signedIn) {
	const token = handedToken();
	const running = signedIn || !!token;
	const [state, set] = useState({ frame: null, shown: null, count: null, latest: [], lost: null, over: null });
	useEffect(() => {
		if (!running)
			return undefined;
		return follow({
			open: (stop) => openFrames(base, token, stop),
			on: (event, data) => {
				if (event === 'frame')
					set((s) => ({ ...s, frame: data, shown: shownOf(data), count: data.count, lost: null, over: null }));
				else if (event === 'count')
					set((s) => ({ ...s, count: data.count, latest: data.latest }));
				else if (event === 'ended') {
					if (token)
						keep(null);
					set((s) => ({ ...s, shown: null, over: { code: 'session_closed' } }));
				}
			},
			lost: (error) => {
				const over = [404, 409].includes(error?.status) || error?.code === 'display_ended';
				if (over && token)
					keep(null);
				set((s) => (over ? { ...s, shown: null, over: error } : { ...s, lost: error?.code ? error : { code: 'offline' } }));
				return !over;
			},
		});
	}, [base, running, token]);
	return state;
}
