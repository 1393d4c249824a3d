/*
 * Words.  The few English ones that the first load of a check-in needs are in the bundle; those of the other pages and other languages
 * are loaded when they are needed, English where a language cannot be had.
 * t('key', {n: 3}) fills {n}; a value that is an object {one, other} is chosen by the language's plural rule for n.
 */
import { signal } from '@preact/signals';

import first from '../i18n/first.en.js';

/* load(whole): the words of all pages, or those of the first load. */
export const languages = [
	{ id: 'en', name: 'English', dir: 'ltr', load: async (whole) => (whole ? (await import('../i18n/en.js')).default : first) },
	{ id: 'de', name: 'Deutsch', dir: 'ltr', load: async (whole) => (await (whole ? import('../i18n/de.js') : import('../i18n/first.de.js'))).default },
];
const KEY = 'muster.language';

let wanted = { id: 'en', whole: false };
export const language = signal({ id: 'en', words: first });

export function t(key, values = {}) {
	const { id, words } = language.value;
	let text = words[key] ?? key;
	if (typeof text === 'object')
		text = text[new Intl.PluralRules(id).select(values.n)] ?? text.other;
	return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A word that may be missing, such as one for an error code. */
export const has = (key) => key in language.value.words;

/* The last wish counts, whichever is loaded first. */
async function want(change) {
	const mine = wanted = { ...wanted, ...change };
	const chosen = languages.find((l) => l.id === mine.id) ?? languages[0];
	const words = await chosen.load(mine.whole).catch(() => languages[0].load(mine.whole));
	if (mine !== wanted)
		return;
	document.documentElement.lang = chosen.id;
	document.documentElement.dir = chosen.dir;
	language.value = { id: chosen.id, words };
}

export async function setLanguage(id, { keep = true } = {}) {
	await want({ id }).catch(() => undefined);
	if (keep)
		remember(KEY, id);
}

let whole = null;

/** What every page but the check-in waits for; another try where it failed. */
export function wholeLanguage() {
	whole ??= want({ whole: true }).catch((e) => {
		whole = null;
		throw e;
	});
	return whole;
}

export function startLanguage() {
	const asked = [recall(KEY), ...navigator.languages.map((l) => l.slice(0, 2))];
	return setLanguage(asked.find((w) => languages.some((l) => l.id === w)) ?? 'en', { keep: false });
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
