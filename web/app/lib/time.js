/* Times as people read them, in the language chosen. */
import { useEffect, useState } from 'preact/hooks';

import { language } from './i18n.js';

/* A formatter is dear to make, and a roll asks for hundreds of times every few seconds: one for each form, of the language last used. */
function format(options) {
	let known = null;
	let made;
	return (iso) => {
		const locale = language.value.id === 'en' ? navigator.language : language.value.id;
		if (locale !== known) {
			made = new Intl.DateTimeFormat(locale, options);
			known = locale;
		}
		return made.format(new Date(iso));
	};
}

export const day = format({ weekday: 'short', day: 'numeric', month: 'short' });
export const date = format({ weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC' }); /* of a calendar: in no zone */
export const fullDay = format({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
export const clock = format({ hour: '2-digit', minute: '2-digit' });
export const moment = format({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
export const exact = format({ year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** 125 → "2:05" */
export function countdown(seconds) {
	const s = Math.max(0, Math.ceil(seconds));
	return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`;
}

/* The value of <input type=datetime-local>, which is local time without a zone. */
export function toLocalInput(iso) {
	const d = new Date(iso);
	const two = (n) => String(n).padStart(2, '0');
	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${two(d.getHours())}:${two(d.getMinutes())}`;
}
export const fromLocalInput = (text) => `${new Date(text).toISOString().slice(0, 19)}Z`;

/** `until` by Date.now(), as useSecondsLeft() wants it. */
export const left = (until) => performance.now() + until - Date.now();

/** Seconds left until `until` (performance.now() milliseconds), redrawn each second. */
export function useSecondsLeft(until) {
	const [, redraw] = useState(0);
	useEffect(() => {
		if (until == null)
			return undefined;
		const timer = setInterval(() => redraw((n) => n + 1), 250);
		return () => clearInterval(timer);
	}, [until]);
	return until == null ? 0 : Math.max(0, (until - performance.now()) / 1000);
}
