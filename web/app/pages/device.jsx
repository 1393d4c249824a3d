/* The device that a student marks with: this browser, another one, or none yet; and the request for another. */
import { useEffect, useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { deviceState, register } from '../lib/device.js';
import { t } from '../lib/i18n.js';
import { moment } from '../lib/time.js';
import { Icon } from '../ui/icons.jsx';
import { Button, Chip, DialogForm, Failure, Field, Notice, PageHead, Skeleton } from '../ui/parts.jsx';

function Ask({ onClose, onAsked }) {
	const [reason, set] = useState('');
	const send = useAction(async () => onAsked(await register(reason)));
	return (
		<DialogForm title={t('device.ask')} text={t('device.askText')} action={send} act={t('device.send')} onClose={onClose}>
			<Field label={t('device.reason')} hint={t('device.reasonHint')} as="textarea" rows={3} required maxLength={300} value={reason} onInput={(e) => set(e.currentTarget.value)} />
		</DialogForm>
	);
}

const kinds = { bound: 'good', asked: 'info', free: 'plain', other: 'warn', none: 'warn' };

function Row({ title, note, chip, kind, children }) {
	return (
		<li>
			<span class="row-icon"><Icon name="phone" size={24} /></span>
			<div class="row-main"><strong>{title}</strong><small>{note}</small>{children}</div>
			<div class="row-side"><Chip kind={kind}>{chip}</Chip></div>
		</li>
	);
}

export default function Device() {
	const [state, set] = useState(null);
	const [asking, setAsking] = useState(false);
	const [done, setDone] = useState('');
	const read = useAction(async () => set(await deviceState()));
	const bound = (reply) => {
		setAsking(false);
		setDone(t(reply.status === 'bound' ? 'device.done' : 'device.sent'));
		read.run();
	};
	const take = useAction(async () => bound(await register()));
	useEffect(() => {
		read.run();
	}, []);
	const { device, request, here } = state ?? {};
	return (
		<>
			<PageHead title={t('device.title')} lead={t('device.lead')} back={{ href: '/app/more', label: t('more.title') }} />
			<div role="status" class="said">{done && <Notice kind="good">{done}</Notice>}</div>
			<Failure error={read.error ?? take.error} retry={read.error && read.run} />
			{!state && !read.error && <Skeleton rows={2} />}
			{state && (
				<>
					<section class="panel">
						<h2>{t('device.here')} <Chip kind={kinds[here]}>{t(`device.${here}`)}</Chip></h2>
						<p class="text">{t(`device.${here}Text`)}</p>
						<div class="actions">
							{here === 'free' && <Button kind="primary" icon="phone" busy={take.busy} onClick={take.run}>{t('device.register')}</Button>}
							{here === 'other' && <Button kind="primary" onClick={() => setAsking(true)}>{t('device.ask')}</Button>}
						</div>
					</section>
					{(device || request) && <h2 class="section">{t('device.list')}</h2>}
					{(device || request) && (
						<ul class="rows">
							{device && <Row title={t(here === 'bound' ? 'device.thisOne' : device.kind === 'imei' ? 'device.app' : 'device.browser')} note={t('device.since', { time: moment(device.bound_at) })} kind="good" chip={t('device.bound')} />}
							{request && (
								<Row title={t(here === 'asked' ? 'device.thisOne' : request.kind === 'imei' ? 'device.app' : 'device.browser')} note={t('device.requested', { time: moment(request.requested_at) })} kind="info" chip={t('device.waits')}>
									{request.reason && <small>{t('device.because', { reason: request.reason })}</small>}
								</Row>
							)}
						</ul>
					)}
				</>
			)}
			{asking && <Ask onClose={() => setAsking(false)} onAsked={bound} />}
		</>
	);
}
