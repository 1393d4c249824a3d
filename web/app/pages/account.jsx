/* One's own account: password, second factor, sessions, providers, mail. */
import { useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { go } from '../lib/router.js';
import { api, signOut } from '../lib/session.js';
import { moment } from '../lib/time.js';
import { Button, Chip, Confirm, Dialog, DialogForm, Failure, Field, Form, Listing, Notice, PageHead } from '../ui/parts.jsx';
import { QrCode } from '../ui/qr.jsx';
import { Rules } from '../ui/rules.jsx';

/* --- password ---- */

function Password() {
	const empty = { current_password: '', new_password: '' };
	const [form, set] = useState(empty);
	const [done, setDone] = useState(false);
	const save = useAction(async () => {
		await api('/v1/auth/password/change', { method: 'POST', body: form });
		set(empty);
		setDone(true);
	});
	const input = (name) => ({
		name, type: 'password', required: true, maxLength: 1024, value: form[name], error: save.error?.fields?.[name],
		onInput: (e) => set({ ...form, [name]: e.currentTarget.value }),
	});
	return (
		<Form onSend={() => {
			setDone(false);
			save.run();
		}}>
			<div role="status">{done && <Notice kind="good">{t('account.passwordDone')}</Notice>}</div>
			<Failure error={save.error} />
			<Field label={t('account.currentPassword')} autocomplete="current-password" {...input('current_password')} />
			<Field label={t('account.newPassword')} autocomplete="new-password" {...input('new_password')} />
			<Rules password={form.new_password} />
			<Button kind="primary" type="submit" busy={save.busy}>{t('account.passwordAct')}</Button>
		</Form>
	);
}

/* --- second factor ---- */

function BackupCodes({ codes, onClose }) {
	return (
		<Dialog title={t('mfa.codes')} onClose={onClose}>
			<p class="text">{t('mfa.codesText')}</p>
			<ul class="backup-codes">{codes.map((c) => <li key={c}><code>{c}</code></li>)}</ul>
			<footer>
				<Button onClick={() => navigator.clipboard?.writeText(codes.join('\n'))}>{t('mfa.copy')}</Button>
				<Button kind="primary" onClick={onClose}>{t('mfa.kept')}</Button>
			</footer>
		</Dialog>
	);
}

function SetUp({ onClose, onDone }) {
	const [setup, set] = useState(null);
	const [password, setPassword] = useState('');
	const [code, setCode] = useState('');
	const begin = useAction(async () => set(await api('/v1/auth/mfa/totp/setup', { method: 'POST', body: password ? { password } : {} })));
	const finish = useAction(async () => {
		const r = await api('/v1/auth/mfa/totp/verify', { method: 'POST', body: { code: code.trim() } });
		onDone(r.backup_codes);
	});
	const needsPassword = begin.error?.code === 'reauthentication_required' || password;
	return (
		<Dialog title={t('mfa.setUp')} onClose={onClose}>
			{!setup && (
				<Form onSend={begin.run}>
					<p class="text">{t('mfa.how')}</p>
					{begin.error && !(begin.error.code === 'reauthentication_required') && <Failure error={begin.error} />}
					{needsPassword && <Field label={t('password')} hint={t('mfa.password')} type="password" autocomplete="current-password" required maxLength={1024}
						value={password} onInput={(e) => setPassword(e.currentTarget.value)} />}
					<footer>
						<Button onClick={onClose}>{t('cancel')}</Button>
						<Button kind="primary" type="submit" busy={begin.busy}>{t('next')}</Button>
					</footer>
				</Form>
			)}
			{setup && (
				<Form onSend={finish.run}>
					<p class="text">{t('mfa.scan')}</p>
					<div class="setup-qr"><QrCode label={t('mfa.qr')} text={setup.otpauth_uri} /></div>
					<p class="hint">{t('mfa.secret')} <code class="secret">{setup.secret}</code></p>
					<Failure error={finish.error} />
					<Field label={t('factor.code')} inputMode="numeric" autocomplete="one-time-code" required maxLength={10} value={code} onInput={(e) => setCode(e.currentTarget.value)} />
					<footer>
						<Button onClick={onClose}>{t('cancel')}</Button>
						<Button kind="primary" type="submit" busy={finish.busy}>{t('mfa.turnOn')}</Button>
					</footer>
				</Form>
			)}
		</Dialog>
	);
}

/* Asks for a code and does something with it. */
function WithCode({ title, text, act, path, danger, onClose, onDone }) {
	const [code, setCode] = useState('');
	const action = useAction(async () => onDone(await api(path, { method: 'POST', body: { code: code.trim() } })));
	return (
		<DialogForm title={title} text={text} action={action} act={act} kind={danger ? 'danger' : 'primary'} onClose={onClose}>
			<Field label={t('factor.code')} inputMode="numeric" autocomplete="one-time-code" required maxLength={10} value={code} onInput={(e) => setCode(e.currentTarget.value)} />
		</DialogForm>
	);
}

function SecondFactor({ on, onChanged }) {
	const [dialog, setDialog] = useState(null);
	const [codes, setCodes] = useState(null);
	const close = () => setDialog(null);
	const got = (list) => {
		setCodes(list);
		close();
		onChanged();
	};
	return (
		<>
			<p class="text">{t(on ? 'mfa.on' : 'mfa.off')} <Chip kind={on ? 'good' : 'plain'}>{t(on ? 'mfa.stateOn' : 'mfa.stateOff')}</Chip></p>
			<div class="actions">
				{!on && <Button kind="primary" onClick={() => setDialog('setup')}>{t('mfa.setUp')}</Button>}
				{on && <Button onClick={() => setDialog('renew')}>{t('mfa.renew')}</Button>}
				{on && <Button kind="danger-plain" onClick={() => setDialog('off')}>{t('mfa.turnOff')}</Button>}
			</div>
			{dialog === 'setup' && <SetUp onClose={close} onDone={got} />}
			{dialog === 'renew' && <WithCode title={t('mfa.renew')} text={t('mfa.renewText')} act={t('mfa.renew')} path="/v1/auth/mfa/backup-codes/regenerate" onClose={close} onDone={(r) => got(r.backup_codes)} />}
			{dialog === 'off' && <WithCode danger title={t('mfa.turnOff')} text={t('mfa.turnOffText')} act={t('mfa.turnOff')} path="/v1/auth/mfa/disable" onClose={close} onDone={() => {
				close();
				onChanged();
			}} />}
			{codes && <BackupCodes codes={codes} onClose={() => setCodes(null)} />}
		</>
	);
}

/* --- sessions ---- */

/* What a User-Agent says, in two words. */
function deviceName(agent) {
	const first = (table) => table.find(([pattern]) => pattern.test(agent ?? ''))?.[1];
	const program = first([[/Edg\//, 'Edge'], [/Firefox\//, 'Firefox'], [/Chrom/, 'Chrome'], [/Safari\//, 'Safari']]);
	const system = first([[/iPhone|iPad/, 'iOS'], [/Android/, 'Android'], [/Windows/, 'Windows'], [/Mac OS/, 'macOS'], [/Linux/, 'Linux']]);
	return program && system ? `${program}, ${system}` : agent?.slice(0, 40);
}

function Session({ row, onEnded }) {
	const end = useAction(async () => {
		await api(`/v1/auth/sessions/${row.id}`, { method: 'DELETE' });
		onEnded();
	});
	return (
		<li class="request">
			<div class="row-main">
				<strong title={row.device}>{deviceName(row.device) || t('account.unknownDevice')} {row.current && <Chip kind="good">{t('account.thisOne')}</Chip>}</strong>
				<small>{row.ip_address} · {t('account.lastUsed', { time: moment(row.last_used_at) })}</small>
				<Failure error={end.error} />
			</div>
			{!row.current && <Button busy={end.busy} onClick={end.run} aria-label={t('account.endName', { name: deviceName(row.device) || row.ip_address })}>{t('account.end')}</Button>}
		</li>
	);
}

function Sessions() {
	const source = useData('/v1/auth/sessions');
	const [asking, setAsking] = useState(false);
	const all = useAction(async () => {
		await api('/v1/auth/logout-all', { method: 'POST' });
		await signOut().catch(() => undefined);
		go('/app/', { replace: true });
	});
	const sessions = source.data?.sessions ?? [];
	return (
		<Listing source={source} count={sessions.length}>
			<ul class="rows">{sessions.map((s) => <Session key={s.id} row={s} onEnded={source.reload} />)}</ul>
			<Button kind="danger-plain" onClick={() => setAsking(true)}>{t('account.endAll')}</Button>
			{asking && <Confirm title={t('account.endAll')} text={t('account.endAllText')} act={t('account.endAll')} action={all} onClose={() => setAsking(false)} />}
		</Listing>
	);
}

/* --- providers ---- */

function Identities() {
	const source = useData('/v1/auth/oauth/identities');
	const unlink = useAction(async (provider) => {
		await api(`/v1/auth/oauth/identities/${provider}`, { method: 'DELETE' });
		source.reload();
	});
	const rows = source.data?.identities ?? [];
	if (!rows.length)
		return null;
	return (
		<section class="panel">
			<h2>{t('account.providers')}</h2>
			<Failure error={unlink.error} />
			<ul class="rows">
				{rows.map((i) => (
					<li class="request" key={i.provider}>
						<div class="row-main"><strong>{i.provider}</strong><small>{i.email}</small></div>
						<Button busy={unlink.busy} onClick={() => unlink.run(i.provider)} aria-label={t('account.unlinkName', { name: i.provider })}>{t('account.unlink')}</Button>
					</li>
				))}
			</ul>
		</section>
	);
}

/* --- mail ---- */

function Mail({ user, onChanged }) {
	const save = useAction(async (name, on) => {
		await api('/v1/auth/me', { method: 'PATCH', body: { mail: { ...user.mail, [name]: on } } });
		onChanged();
	});
	const ask = useAction(() => api('/v1/auth/email/verify/request', { method: 'POST' }));
	return (
		<>
			{!user.email_verified && <Notice kind="info"><p>{t('account.unverified')}</p><Button busy={ask.busy} onClick={ask.run}>{t('account.verify')}</Button></Notice>}
			<Failure error={save.error ?? ask.error} />
			<fieldset class="checks">
				<legend>{t('account.mailMe')}</legend>
				{Object.keys(user.mail).map((name) => (
					<label key={name}><input type="checkbox" checked={user.mail[name]} onChange={(e) => save.run(name, e.currentTarget.checked)} /> {t(`account.mail.${name}`)}</label>
				))}
			</fieldset>
		</>
	);
}

export default function Account() {
	const source = useData('/v1/auth/me');
	const user = source.data;
	return (
		<>
			<PageHead title={t('account.title')} lead={user?.email} back={{ href: '/app/more', label: t('more.title') }} />
			<Listing source={source} count={1}>
				{user && (
					<>
						<section class="panel"><h2>{t('mfa.title')}</h2><SecondFactor on={user.mfa_enabled} onChanged={source.reload} /></section>
						<section class="panel"><h2>{t('account.sessions')}</h2><Sessions /></section>
						<section class="panel"><h2>{t('account.password')}</h2><Password /></section>
						<Identities />
						<section class="panel"><h2>{t('account.mail')}</h2><Mail user={user} onChanged={source.reload} /></section>
					</>
				)}
			</Listing>
		</>
	);
}
