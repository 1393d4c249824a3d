/* Back from a provider: the one-time code behind the # becomes a session, a second factor, a wait, or a link to an account. */
import { useEffect, useState } from 'preact/hooks';

import { scan } from '../lib/checkin.js';
import { useAction } from '../lib/data.js';
import { takeFragment } from '../lib/fragment.js';
import { t } from '../lib/i18n.js';
import { go } from '../lib/router.js';
import { enter } from '../lib/session.js';
import { Card } from '../ui/card.jsx';
import { Button, errorText, Failure, Field, Form, Notice, Skeleton } from '../ui/parts.jsx';
import { Factor, PROVIDER, Waiting } from '../ui/signin.jsx';

const onward = () => go(scan.peek().phase === 'none' ? '/app/' : '/c', { replace: true });

function Link({ token, onReply }) {
	const [password, setPassword] = useState('');
	const action = useAction(async () => onReply(await enter('/v1/auth/oauth/link/confirm', { link_token: token, password })));
	return (
		<Form onSend={action.run}>
			<Notice kind="info" title={t('oauth.link')}>{t('oauth.linkText')}</Notice>
			<Failure error={action.error} />
			<Field label={t('password')} type="password" autocomplete="current-password" required maxLength={1024} value={password}
				onInput={(e) => setPassword(e.currentTarget.value)} />
			<Button kind="primary wide" type="submit" busy={action.busy}>{t('oauth.linkAct')}</Button>
		</Form>
	);
}

export default function Oauth() {
	const [fragment] = useState(takeFragment);
	const [state, set] = useState({});
	const took = (reply) => {
		if (reply.access_token)
			onward();
		else
			set({ mfaToken: reply.mfa_token, waits: reply.approval_request_id });
	};
	useEffect(() => {
		const provider = sessionStorage.getItem(PROVIDER);
		if (!fragment || fragment.startsWith('error=') || !provider) {
			set({ error: { code: fragment.slice('error='.length) || 'oauth_failed' } });
			return;
		}
		enter(`/v1/auth/oauth/${provider}/callback/complete`, { code: fragment }).then(took, (error) =>
			set(error.code === 'link_required' ? { linkToken: error.body.details?.link_token } : { error, waits: error.body?.approval_request_id ?? error.body?.details?.approval_request_id }));
	}, []);
	const again = () => go('/app/', { replace: true });
	let content = <Skeleton />;
	if (state.mfaToken)
		content = <Factor mfaToken={state.mfaToken} onDone={onward} onAgain={again} />;
	else if (state.waits)
		content = <Waiting id={state.waits} onApproved={again} onAgain={again} />;
	else if (state.linkToken)
		content = <Link token={state.linkToken} onReply={took} />;
	else if (state.error)
		content = (
			<>
				<div role="alert"><Notice kind="bad" title={t('oauth.failed')}>{errorText(state.error)}</Notice></div>
				<Button kind="primary wide" onClick={again}>{t('signin.act')}</Button>
			</>
		);
	return <Card title={t('signin.title')}>{content}</Card>;
}
