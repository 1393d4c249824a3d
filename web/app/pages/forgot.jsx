/* A forgotten password: asks for the mail.  The answer is the same whether the address is known or not. */
import { useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { request } from '../lib/http.js';
import { t } from '../lib/i18n.js';
import { Card } from '../ui/card.jsx';
import { Button, Failure, Field, Form, Notice } from '../ui/parts.jsx';

export default function Forgot() {
	const [email, setEmail] = useState('');
	const [sent, setSent] = useState(false);
	const action = useAction(async () => {
		await request('/v1/auth/password-reset/request', { method: 'POST', body: { email: email.trim() } });
		setSent(true);
	});
	if (sent)
		return (
			<Card title={t('forgot.title')}>
				<div role="status"><Notice kind="good" title={t('forgot.sent')}>{t('forgot.sentText', { email: email.trim() })}</Notice></div>
				<Button kind="wide" href="/app/">{t('signin.act')}</Button>
			</Card>
		);
	return (
		<Card title={t('forgot.title')} lead={t('forgot.lead')}>
			<Form onSend={action.run}>
				<Failure error={action.error} />
				<Field label={t('email')} type="email" name="username" autocomplete="username" inputMode="email" required maxLength={254}
					value={email} error={action.error?.fields?.email} onInput={(e) => setEmail(e.currentTarget.value)} />
				<Button kind="primary wide" type="submit" busy={action.busy}>{t('forgot.act')}</Button>
				<p class="aside"><a href="/app/">{t('signin.act')}</a></p>
			</Form>
		</Card>
	);
}
