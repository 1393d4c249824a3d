/* What a new password needs, ticked off while it is typed. */
import { t } from '../lib/i18n.js';
import { Icon } from './icons.jsx';

const rules = [
	{ key: 'signup.rule.length', ok: (p) => new TextEncoder().encode(p).length >= 8 },
	{ key: 'signup.rule.upper', ok: (p) => /[A-Z]/.test(p) },
	{ key: 'signup.rule.lower', ok: (p) => /[a-z]/.test(p) },
	{ key: 'signup.rule.digit', ok: (p) => /[0-9]/.test(p) },
	{ key: 'signup.rule.special', ok: (p) => /[^A-Za-z0-9]/.test(p) },
];

export function Rules({ password }) {
	return (
		<ul class="rules" aria-label={t('signup.rules')}>
			{rules.map((r) => (
				<li key={r.key} class={r.ok(password) ? 'met' : ''}>
					<Icon name={r.ok(password) ? 'check' : 'dot'} size={16} /> {t(r.key)}
					<span class="unseen">{r.ok(password) ? ` ${t('signup.rule.met')}` : ''}</span>
				</li>
			))}
		</ul>
	);
}
