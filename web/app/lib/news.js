/*
 * Notifications as they come.  While somebody is signed in and the page is seen, it listens to the account's stream; each window for
 * itself, hidden ones not at all, so that many tabs cost one connection.  Views that show what a notification may have changed reload
 * when `stirred` moves, and ask from time to time only while the stream is not `live`.
 */
import { effect, signal, untracked } from '@preact/signals';

import { useData } from './data.js';
import { follow } from './events.js';
import { api, session } from './session.js';

const KNOWN_MAX = 200;
const SETTLE_MS = 300; /* what comes in one breath is shown at once */
const MOST_MS = 60_000;

export const live = signal(false);
export const stirred = signal(0);
export const latest = signal(null); /* the notification to be shown for a moment */

const known = new Set();
const seen = signal(document.visibilityState === 'visible');
const channel = 'BroadcastChannel' in globalThis ? new BroadcastChannel('muster-news') : null;
let lastId = null, settling = 0;

function stir() {
	settling ||= setTimeout(() => {
		settling = 0;
		stirred.value++;
	}, SETTLE_MS);
}

/** Something was read here: the badges of all windows look again. */
export function stirAll() {
	stir();
	channel?.postMessage(null);
}

function heard(event, notification, id) {
	if (event !== 'notification' || known.has(id))
		return;
	known.add(id);
	if (known.size > KNOWN_MAX)
		known.delete(known.values().next().value);
	lastId = id;
	latest.value = notification;
	stir();
}

function listen() {
	return follow({
		firstMs: 1_000, mostMs: MOST_MS,
		open: (stop) => api('/api/notifications/stream', { as: 'stream', signal: stop, ...(lastId && { lastEventId: lastId }) }),
		opened: () => {
			live.value = true;
			stir();
		},
		on: heard,
		lost: () => {
			live.value = false;
		},
	});
}

export function startNews() {
	addEventListener('visibilitychange', () => {
		seen.value = document.visibilityState === 'visible';
	});
	if (channel)
		channel.onmessage = stir;
	let stop = null, whose = null;
	effect(() => {
		const user = session.value.state === 'in' ? session.value.user.id : null;
		if (user !== whose) {
			whose = user;
			lastId = latest.value = null;
			known.clear();
		}
		const listens = user && seen.value;
		untracked(() => {
			stop?.();
			live.value = false;
			stop = listens ? listen() : null;
		});
	});
}

/** useData() that is renewed by news, and every `idleS` seconds where there is no stream. */
export const useNewsOf = (path, idleS = 0) => useData(path, { every: live.value ? 0 : idleS, again: stirred.value });
