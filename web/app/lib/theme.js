/* Light, dark, or as the device says. */
import { signal } from '@preact/signals';

import { recall, remember } from './i18n.js';

const KEY = 'muster.theme';
export const theme = signal('auto');

export function setTheme(value) {
	theme.value = value;
	document.documentElement.dataset.theme = value;
	remember(KEY, value);
}

export function startTheme() {
	const kept = recall(KEY);
	theme.value = ['light', 'dark'].includes(kept) ? kept : 'auto';
	document.documentElement.dataset.theme = theme.value;
}
