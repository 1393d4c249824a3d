/* /c: opened by a phone's camera with the code behind the #, or by the scanner of the app. */
import { useEffect, useState } from 'preact/hooks';

import { dismiss, payloadOf, retry, scan, take } from '../lib/checkin.js';
import { t, wholeLanguage } from '../lib/i18n.js';
import { session } from '../lib/session.js';
import { clock, countdown, left, moment, useSecondsLeft } from '../lib/time.js';
import { Languages } from '../ui/card.jsx';
import { Icon, Logo } from '../ui/icons.jsx';
import { Layers } from '../ui/layers.jsx';
import { Button, errorText, Notice } from '../ui/parts.jsx';
import { SignIn } from '../ui/signin.jsx';

/* `aside`: a countdown, which would be read out every second if it stood in the live region. */
function Panel({ kind, icon, title, children, aside, actions }) {
	return (
		<section class={`result ${kind}`}>
			<div class="result-icon"><Icon name={icon} size={56} /></div>
			<div role="status" aria-live="assertive">
				<h1 tabIndex={-1}>{title}</h1>
				<div class="result-text">{children}</div>
			</div>
			{aside && <p class="result-text">{aside}</p>}
			{actions && <div class="result-actions">{actions}</div>}
		</section>
	);
}

const again = () => <Button kind="primary" icon="scan" href="/app/scan" onClick={dismiss}>{t('checkin.again')}</Button>;

function Account({ event, until }) {
	const seconds = useSecondsLeft(left(until));
	return (
		<div class="card-page">
			<a class="brand" href="/app/"><Logo size={34} /> Muster</a>
			<section class="card">
				<h1 tabIndex={-1}>{t('checkin.signin')}</h1>
				<Notice kind="good" title={event?.title}>{t('checkin.safe', { time: countdown(seconds) })}</Notice>
				<SignIn />
			</section>
			<Languages />
		</div>
	);
}

function Queued({ event, until, claimed }) {
	const seconds = useSecondsLeft(left(until));
	return (
		<Panel kind="wait" icon="cloud" title={t('checkin.queued')} actions={<Button onClick={dismiss}>{t('checkin.drop')}</Button>}
			aside={claimed ? t('checkin.queuedClaim', { time: countdown(seconds) }) : t('checkin.queuedCode')}>
			{event && <p class="result-event">{event.title}</p>}
		</Panel>
	);
}

function Wait({ event, retryAt }) {
	const seconds = useSecondsLeft(retryAt);
	return (
		<Panel kind="wait" icon="clock" title={t('checkin.wait')} aside={t('checkin.waitText', { time: countdown(seconds) })}>
			{event && <p class="result-event">{event.title}</p>}
		</Panel>
	);
}

function Idle() {
	const bad = scan.value.badLink;
	const signedIn = session.value.state === 'in';
	return (
		<Panel kind="idle" icon="scan" title={bad ? t('checkin.badLink') : t('checkin.idle')} actions={
			<>
				<Button kind="primary" icon="scan" href="/app/scan">{t('checkin.open')}</Button>
				<Button href="/app/">{signedIn ? t('home') : t('signin.act')}</Button>
			</>
		}>
			<p>{t('checkin.idleText')}</p>
		</Panel>
	);
}

/* What some sessions ask for comes with its words when it is asked for; the scan is kept, so the page can be loaded again. */
function Later(props) {
	const [steps, set] = useState(null);
	useEffect(() => {
		Promise.all([import('../ui/steps.jsx'), wholeLanguage()]).then(([m]) => set(m), () => set({ failed: true }));
	}, []);
	if (!steps)
		return <Busy title={props.event.title} />;
	if (steps.failed)
		return (
			<Panel kind="wait" icon="cloud" title={t('offline.title')} actions={<Button kind="primary" onClick={() => location.reload()}>{t('again')}</Button>}>
				<p>{t('offline.text')}</p>
			</Panel>
		);
	return props.phase === 'device' ? <steps.DeviceStep {...props} /> : <steps.SelfieStep {...props} />;
}

/* Marked; with what the checks said, when they said anything a person should know. */
function Done({ result, event }) {
	const odd = result.status === 'flagged';
	const title = result.session?.title ?? result.event?.title ?? event?.title ?? t('checkin.anEvent');
	return (
		<Panel kind={odd ? 'wait' : 'good'} icon="check" title={t('checkin.done')} actions={<Button kind="primary" href="/app/attendance" onClick={dismiss}>{t('mine.title')}</Button>}>
			<p class="result-event">{title}</p>
			<p>{t('checkin.doneAt', { time: clock(result.marked_at), name: session.value.user?.full_name ?? '' })}</p>
			{odd && <p>{t('checkin.flagged')}</p>}
			{result.layers && <Layers layers={result.layers.filter((l) => told.includes(l.layer))} all />}
		</Panel>
	);
}

const told = ['claim', 'device', 'geofence', 'network', 'face', 'travel']; /* the others speak by refusing */

function Busy({ title }) {
	return (
		<section class="result busy" role="status">
			<div class="spinner" aria-hidden="true" />
			<h1 tabIndex={-1}>{title}</h1>
		</section>
	);
}

function Show() {
	const s = scan.value;
	const title = s.event?.title ?? t('checkin.anEvent');
	switch (s.phase) {
	case 'claiming':
		return <Busy title={t('checkin.claiming')} />;
	case 'marking':
		return <Busy title={t('checkin.marking', { title })} />;
	case 'account':
		return <Account {...s} />;
	case 'device':
	case 'selfie':
		return <Later {...s} />;
	case 'queued':
		return <Queued {...s} />;
	case 'waiting':
		return <Wait {...s} />;
	case 'done':
		return <Done {...s} />;
	case 'already':
		return (
			<Panel kind="good calm" icon="check" title={t('checkin.already')} actions={<Button kind="primary" href="/app/attendance" onClick={dismiss}>{t('mine.title')}</Button>}>
				<p class="result-event">{title}</p>
				{s.result?.marked_at && <p>{t('checkin.alreadyAt', { time: moment(s.result.marked_at) })}</p>}
			</Panel>
		);
	case 'refused':
		return (
			<Panel kind="bad" icon="cross" title={t('checkin.refused')} actions={<>{s.retry ? <Button kind="primary" onClick={retry}>{t('again')}</Button> : again()}<Button href="/app/" onClick={dismiss}>{t('home')}</Button></>}>
				{s.event && <p class="result-event">{s.event.title}</p>}
				<p>{errorText(s.error)}</p>
				{s.error?.layers && <Layers layers={s.error.layers.filter((l) => ['flag', 'reject'].includes(l.verdict))} />}
			</Panel>
		);
	default:
		return <Idle />;
	}
}

export default function CheckIn() {
	useEffect(() => {
		const read = () => {
			const text = location.hash.slice(1);
			if (!text)
				return;
			const clean = () => history.replaceState(null, '', '/c'); /* the code need not stay in the history */
			const payload = payloadOf(text);
			if (payload) {
				take({ qr_payload: payload }, clean);
				return;
			}
			clean();
			scan.value = { phase: 'none', badLink: true };
		};
		read();
		addEventListener('hashchange', read);
		return () => removeEventListener('hashchange', read);
	}, []);
	return <div class="checkin"><Show /></div>;
}
