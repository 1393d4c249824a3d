/* Signing up, and the three minutes after it. */
import { useState } from 'preact/hooks';

import { scan } from '../lib/checkin.js';
import { useAction } from '../lib/data.js';
import { request } from '../lib/http.js';
import { t } from '../lib/i18n.js';
import { go } from '../lib/router.js';
import { signIn } from '../lib/session.js';
import { Card } from '../ui/card.jsx';
import { Button, errorText, Field, Form, Notice } from '../ui/parts.jsx';
import { Rules } from '../ui/rules.jsx';
import { Waiting } from '../ui/signin.jsx';

export default function SignUp() {
	const [form, set] = useState({ full_name: '', email: '', password: '' });
	const [made, setMade] = useState(null);
	const action = useAction(async () => {
		const body = { ...form, email: form.email.trim(), full_name: form.full_name.trim() };
		setMade(await request('/api/auth/signup', { method: 'POST', body, web: true }));
	});
	const { error } = action;
	const input = (name) => ({ name, value: form[name], onInput: (e) => set({ ...form, [name]: e.currentTarget.value }), error: error?.fields?.[name] });

	if (made)
		return (
			<Card title={t('wait.heading')}>
				<Waiting id={made.approval_request_id} onAgain={() => setMade(null)} onApproved={async () => {
					await signIn(form.email.trim(), form.password);
					go(scan.peek().phase === 'none' ? '/app/' : '/c', { replace: true });
				}} />
			</Card>
		);
	return (
		<Card title={t('signup.title')} lead={t('signup.lead')}>
			<Form onSend={action.run}>
				<div role="alert">{error && <Notice kind="bad">{errorText(error)}</Notice>}</div>
				<Field label={t('fullName')} autocomplete="name" required maxLength={200} {...input('full_name')} />
				<Field label={t('email')} type="email" autocomplete="username" inputMode="email" required maxLength={254} {...input('email')} />
				<Field label={t('password')} type="password" autocomplete="new-password" required maxLength={1024} {...input('password')} />
				<Rules password={form.password} />
				<Button kind="primary wide" type="submit" busy={action.busy}>{t('signup.act')}</Button>
				<p class="aside">{t('signup.have')} <a href="/app/">{t('signin.act')}</a></p>
			</Form>
		</Card>
	);
}
