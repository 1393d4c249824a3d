/* The steps of a check-in that only the person at the phone can take: the device, a selfie, head turns. */
import { answer, dismiss } from '../lib/checkin.js';
import { useAction } from '../lib/data.js';
import { register } from '../lib/device.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { countdown, left, useSecondsLeft } from '../lib/time.js';
import { Booth, Poses } from './booth.jsx';
import { Card } from './card.jsx';
import { Button, Failure } from './parts.jsx';

/* How long the scan waits for its owner. */
function Kept({ until }) {
	const seconds = useSecondsLeft(left(until));
	return <p class="hint center">{t('step.kept', { time: countdown(seconds) })}</p>;
}

function Step({ title, event, until, children }) {
	return (
		<Card title={title}>
			<p class="lead">{event.title}</p>
			{children}
			<Kept until={until} />
			<div class="center"><Button kind="quiet" onClick={dismiss}>{t('checkin.drop')}</Button></div>
		</Card>
	);
}

/* The session wants a registered device, and this browser is none. */
export function DeviceStep({ event, until, here }) {
	const take = useAction(async () => {
		await register();
		await answer({ device: 'asked' });
	});
	const able = here === 'free' || here === 'other';
	return (
		<Step title={t('step.device')} event={event} until={until}>
			<p class="text">{t(`step.device.${here}`)}</p>
			<Failure error={take.error} />
			<div class="form">
				{here === 'free' && <Button kind="primary wide" icon="phone" busy={take.busy} onClick={take.run}>{t('step.register')}</Button>}
				<Button kind={here === 'free' ? 'wide' : 'primary wide'} onClick={() => answer({ device: 'without' })}>{t('step.without')}</Button>
				{able && here === 'other' && <p class="aside"><a href="/app/device">{t('step.askDevice')}</a></p>}
			</div>
		</Step>
	);
}

export function SelfieStep({ event, until, liveness }) {
	const challenge = () => api(`/api/v1/student/liveness?event_id=${event.id}`);
	return (
		<Step title={t(liveness ? 'step.poses' : 'step.selfie')} event={event} until={until}>
			<p class="text">{t('step.selfieText')}</p>
			{liveness
				? <Poses challenge={challenge} onDone={(pictures, token) => answer({ pictures, liveness: { challenge: token, at: Date.now() } })} />
				: <Booth use={t('step.send')} onUse={(blob) => answer({ pictures: [blob] })} />}
			<div class="center"><Button kind="quiet" onClick={() => answer({ pictures: [], liveness: undefined })}>{t('step.noSelfie')}</Button></div>
		</Step>
	);
}
