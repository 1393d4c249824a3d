/* The selfie of a mark.  Each look is in the audit trail, so it takes a click. */
import { useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { reviews } from './decide.jsx';
import { Button, Failure } from './parts.jsx';
import { Photo } from './photo.jsx';

const sent = (layers) => layers?.some((l) => l.layer === 'face' && ['pass', 'flag'].includes(l.verdict) && l.detail !== 'no selfie was sent');

/* `days`: how long selfies are kept. */
export function Selfie({ record, days }) {
	const [picture, setPicture] = useState(null);
	const { full_name: name } = record.student;
	const show = useAction(async () => setPicture(picture ? null
		: await api(`/api/v1/${reviews() ? 'admin' : 'lecturer'}/attendance/${record.attendance_id}/selfie`, { as: 'blob' })));
	if (!record.has_selfie)
		return sent(record.layers) ? <p class="hint">{t('flagged.selfieGone', { n: days })}</p> : null;
	return (
		<div class="seen-selfie">
			<Failure error={show.error} />
			{picture && <Photo blob={picture} label={t('flagged.selfieOf', { name })} />}
			<Button icon="picture" busy={show.busy} onClick={show.run} aria-label={t(picture ? 'flagged.hideSelfieOf' : 'flagged.showSelfieOf', { name })}>{t(picture ? 'flagged.hideSelfie' : 'flagged.showSelfie')}</Button>
			{!picture && <small>{t('flagged.selfieHint')}</small>}
		</div>
	);
}
