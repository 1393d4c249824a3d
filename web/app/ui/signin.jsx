/* Signing in, and what may stand in its way: waiting for approval, a rejection, a lock. */
import { useEffect, useRef, useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { request } from '../lib/http.js';
import { t } from '../lib/i18n.js';
import { enter, session, signIn } from '../lib/session.js';
import { countdown, useSecondsLeft } from '../lib/time.js';
import { Icon } from './icons.jsx';
import { Button, errorText, Failure, Field, Form, Notice, Ring, Say } from './parts.jsx';

const POLL_MS = 2_000, POLL_MAX_MS = 10_000; /* people decide fast or late */
const SAY_EVERY_S = 30;

/* The three minutes in which an administrator may decide.  `onApproved` signs in. */
export function Waiting({ id, onApproved, onAgain }) {
	const [state, set] = useState({ status: 'pending', until: null, of: null, lost: false });
	const approved = useAction(onApproved);
	useEffect(() => {
		let timer = 0, stopped = false, asking = false, wait = POLL_MS;
		const ask = async () => {
			clearTimeout(timer);
			if (asking || document.visibilityState !== 'visible') /* asked again when the page is seen */
				return;
			asking = true;
			let next = wait = Math.min(POLL_MAX_MS, wait * 1.25);
			try {
				const r = await request(`/api/auth/approval-requests/${id}`);
				if (stopped)
					return;
				const left = r.status === 'pending' ? r.time_remaining_seconds : 0;
				set((s) => ({ status: r.status, until: performance.now() + left * 1000, of: Math.max(s.of ?? 0, left, 1), lost: false }));
				if (r.status === 'approved')
					approved.run();
				if (r.status !== 'pending')
					stopped = true;
				next = Math.min(wait, left * 1000 + 500);
			} catch (e) {
				if (!stopped)
					set((s) => ({ ...s, lost: true }));
				next = Math.max(wait, (e.retryAfter ?? 0) * 1000);
			}
			asking = false;
			if (!stopped)
				timer = setTimeout(ask, next);
		};
		const seen = () => {
			wait = POLL_MS;
			if (!stopped)
				ask();
		};
		ask();
		addEventListener('visibilitychange', seen);
		addEventListener('online', seen);
		return () => {
			stopped = true;
			clearTimeout(timer);
			removeEventListener('visibilitychange', seen);
			removeEventListener('online', seen);
		};
	}, [id]);
	const left = useSecondsLeft(state.status === 'pending' ? state.until : null);

	if (state.status === 'approved')
		return (
			<div class="result-inline">
				<Notice kind="good" title={t('wait.approved')}>{t('wait.approvedText')}</Notice>
				<Failure error={approved.error} retry={approved.run} />
			</div>
		);
	if (state.status === 'rejected' || state.status === 'timeout')
		return (
			<div class="result-inline" role="status">
				<Notice kind={state.status === 'timeout' ? 'warn' : 'bad'} title={t(`wait.${state.status}`)}>{t(`wait.${state.status}Text`)}</Notice>
				<Button kind="primary wide" onClick={onAgain}>{t(state.status === 'timeout' ? 'wait.again' : 'signup.again')}</Button>
			</div>
		);
	return (
		<div class="waiting">
			<Ring left={state.until ? left : 1} of={state.of ?? 1} size={132} stroke={7}>{state.until ? countdown(left) : '·'}</Ring>
			<h2>{t('wait.title')}</h2>
			<p>{t('wait.text')}</p>
			{state.lost && <p class="hint"><Icon name="cloud" size={16} /> {t('wait.lost')}</p>}
			<Say>{t('wait.title')} {state.until && t('wait.left', { time: countdown(Math.ceil(left / SAY_EVERY_S) * SAY_EVERY_S) })}</Say>
		</div>
	);
}

function Locked({ error, onOver }) {
	const [until] = useState(performance.now() + Math.max(1, error.retryAfter) * 1000);
	const left = useSecondsLeft(until);
	useEffect(() => {
		if (left <= 0)
			onOver();
	}, [left <= 0]);
	return <Notice kind="warn" title={errorText(error)}>{t('signin.lockedFor', { time: countdown(left) })}</Notice>;
}

/* The second factor of a login: a code of the app, or one of the backup codes. */
export function Factor({ mfaToken, onDone, onAgain }) {
	const [backup, setBackup] = useState(false);
	const [code, setCode] = useState('');
	const input = useRef(null);
	const action = useAction(async () => {
		try {
			await enter('/v1/auth/mfa/complete', { mfa_token: mfaToken, [backup ? 'backup_code' : 'code']: code.trim() });
			onDone?.();
		} catch (e) {
			setCode('');
			input.current?.focus();
			throw e;
		}
	});
	useEffect(() => {
		input.current?.focus();
	}, [backup]);
	return (
		<Form onSend={action.run}>
			<Notice kind="info" title={t('factor.title')}>{t(backup ? 'factor.backupText' : 'factor.text')}</Notice>
			<Failure error={action.error} />
			<Field label={t(backup ? 'factor.backup' : 'factor.code')} inputRef={input} autocomplete="one-time-code" inputMode={backup ? 'text' : 'numeric'}
				required maxLength={backup ? 40 : 10} value={code} onInput={(e) => setCode(e.currentTarget.value)} />
			<Button kind="primary wide" type="submit" busy={action.busy}>{t('signin.act')}</Button>
			<Button kind="quiet" onClick={() => setBackup(!backup)}>{t(backup ? 'factor.useCode' : 'factor.useBackup')}</Button>
			<Button kind="quiet" onClick={onAgain}>{t('factor.again')}</Button>
		</Form>
	);
}

/* Other ways in, where the server has any.  The page that comes back needs to know which one it was. */
export const PROVIDER = 'muster.provider';

function Providers() {
	const [providers, set] = useState([]);
	useEffect(() => {
		let current = true;
		request('/v1/auth/oauth/providers').then((r) => current && set(r.providers), () => undefined);
		return () => {
			current = false;
		};
	}, []);
	if (!providers.length)
		return null;
	return (
		<div class="providers">
			{providers.map((p) => (
				<Button key={p.id} kind="wide" href={`/v1/auth/oauth/${p.id}/start`} onClick={() => sessionStorage.setItem(PROVIDER, p.id)}>{t('signin.with', { name: p.name })}</Button>
			))}
		</div>
	);
}

export function SignIn({ onDone, signUpHref = '/app/signup' }) {
	const [form, set] = useState({ email: '', password: '' });
	const [wait, setWait] = useState(null);
	const [mfaToken, setMfaToken] = useState(null);
	const errorBox = useRef(null);
	const action = useAction(async () => {
		try {
			const token = await signIn(form.email.trim(), form.password);
			setMfaToken(token);
			if (!token)
				onDone?.();
		} catch (e) {
			if (e.code === 'account_pending' && e.body.approval_request_id) {
				setWait(e.body.approval_request_id);
				return;
			}
			throw e;
		}
	});
	const { error } = action;
	useEffect(() => {
		if (error)
			errorBox.current?.focus();
	}, [error]);

	if (wait)
		return <Waiting id={wait} onApproved={async () => {
			await signIn(form.email.trim(), form.password);
			onDone?.();
		}} onAgain={() => setWait(null)} />;
	if (mfaToken)
		return <Factor mfaToken={mfaToken} onDone={onDone} onAgain={() => {
			setMfaToken(null);
			set({ ...form, password: '' });
		}} />;
	const blocked = error?.status === 429;
	return (
		<Form onSend={action.run}>
			{session.value.ended && !error && <Notice kind="info">{t('signin.ended')}</Notice>}
			{blocked && <Locked key={error} error={error} onOver={action.clear} />}
			<div ref={errorBox} tabIndex={-1} role="alert" class="plain-focus">
				{error && !blocked && <Notice kind="bad">{errorText(error)}</Notice>}
				{blocked && <span class="unseen">{errorText(error)}</span>}
			</div>
			<Field label={t('email')} type="email" name="username" autocomplete="username" inputMode="email" required maxLength={254}
				value={form.email} onInput={(e) => set({ ...form, email: e.currentTarget.value })} />
			<Field label={t('password')} type="password" name="password" autocomplete="current-password" required maxLength={1024}
				value={form.password} onInput={(e) => set({ ...form, password: e.currentTarget.value })} />
			<Button kind="primary wide" type="submit" busy={action.busy}>{t('signin.act')}</Button>
			<Providers />
			<p class="aside"><a href="/app/forgot">{t('forgot.link')}</a></p>
			<p class="aside">{t('signin.new')} <a href={signUpHref}>{t('signup.title')}</a></p>
		</Form>
	);
}
