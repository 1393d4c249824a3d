/*
 * Words.  English is in the bundle and is what a missing word falls back to; other languages are loaded when chosen.
 * t('key', {n: 3}) fills {n}; a value that is an object {one, other} is chosen by the language's plural rule for n.
 */
import { signal } from '@preact/signals';

import en from '../i18n/en.js';

export const languages = [
	{ id: 'en', name: 'English', dir: 'ltr', load: async () => en },
	{ id: 'de', name: 'Deutsch', dir: 'ltr', load: async () => (await import('../i18n/de.js')).default },
];
const KEY = 'muster.language';

export const language = signal({ id: 'en', words: en });

export function t(key, values = {}) {
	const { id, words } = language.value;
	let text = words[key] ?? en[key] ?? key;
	if (typeof text === 'object')
		text = text[new Intl.PluralRules(id).select(values.n)] ?? text.other;
	return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A word that may be missing, such as one for an error code. */
export const has = (key) => key in en;

export async function setLanguage(id, { keep = true } = {}) {
	const chosen = languages.find((l) => l.id === id) ?? languages[0];
	const words = await chosen.load().catch(() => en);
	document.documentElement.lang = chosen.id;
	document.documentElement.dir = chosen.dir;
	language.value = { id: chosen.id, words };
	if (keep)
		remember(KEY, chosen.id);
}

export function startLanguage() {
	const wanted = [recall(KEY), ...navigator.languages.map((l) => l.slice(0, 2))];
	const id = wanted.find((w) => languages.some((l) => l.id === w)) ?? 'en';
	return setLanguage(id, { keep: false });
}

/* Preferences; a browser without storage forgets them. */
export function remember(key, value) {
	try {
		localStorage.setItem(key, value);
	} catch {
		/* forgotten */
	}
}

export function recall(key) {
	try {
		return localStorage.getItem(key);
	} catch {
		return null;
	}
}
