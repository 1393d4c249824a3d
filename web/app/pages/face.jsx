/* One's own face: what is kept and why, consent, one to three pictures, a trial, and its complete deletion. */
import { useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { formOf } from '../lib/http.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { fullDay } from '../lib/time.js';
import { Booth } from '../ui/booth.jsx';
import { Icon } from '../ui/icons.jsx';
import { said } from '../ui/layers.jsx';
import { Button, Chip, Confirm, Empty, Failure, Form, Listing, Notice, PageHead } from '../ui/parts.jsx';
import { Photo } from '../ui/photo.jsx';

const PICTURES_MAX = 3;
const facts = ['why', 'kept', 'seen', 'free'];

function Facts() {
	return (
		<ul class="facts">
			{facts.map((f) => <li key={f}><Icon name="check" size={18} /> <span>{t(`face.fact.${f}`)}</span></li>)}
		</ul>
	);
}

/* What the server says against single pictures: {0: "the face is blurred …"}. */
function faults(error) {
	const fields = error?.code === 'validation_error' ? error.fields : {};
	return Object.fromEntries(Object.entries(fields).filter(([name]) => /^file/.test(name)).map(([name, text]) => [Number(name.split('.')[1] ?? 0), text]));
}

function Picture({ blob, n, fault, onDrop }) {
	return (
		<li class={fault ? 'faulty' : ''}>
			<Photo blob={blob} label={t('face.picture', { n })} mirror />
			{fault && <p class="field-error" role="alert">{said(fault)}</p>}
			<Button kind="quiet" onClick={onDrop} aria-label={t('face.dropName', { n })}>{t('face.drop')}</Button>
		</li>
	);
}

function Enrol({ onDone, onCancel }) {
	const [consent, setConsent] = useState(false);
	const [agreed, setAgreed] = useState(!!onCancel);
	const [pictures, set] = useState([]);
	const send = useAction(async () => {
		await api('/api/v1/student/enroll-face', { method: 'POST', form: formOf({ consent: 'true' }, 'file', pictures) });
		onDone();
	});
	const wrong = faults(send.error);
	const foreign = send.error?.code === 'face_mismatch';
	const told = Object.keys(wrong).length > 0;
	const change = (next) => {
		send.clear();
		set(next);
	};
	if (!agreed)
		return (
			<section class="panel">
				<h2>{t('face.what')}</h2>
				<Facts />
				<Form onSend={() => setAgreed(true)}>
					<fieldset class="checks">
						<legend class="unseen">{t('face.consentLegend')}</legend>
						<label><input type="checkbox" required checked={consent} onChange={(e) => setConsent(e.currentTarget.checked)} /> {t('face.consent')}</label>
					</fieldset>
					<div><Button kind="primary" type="submit">{t('face.begin')}</Button></div>
				</Form>
			</section>
		);
	return (
		<section class="panel">
			<h2>{t('face.pictures')}</h2>
			<p class="text">{t('face.picturesText')}</p>
			{pictures.length > 0 && (
				<ol class="photos">
					{pictures.map((blob, i) => <Picture key={blob} blob={blob} n={i + 1} fault={wrong[i]} onDrop={() => change(pictures.filter((p) => p !== blob))} />)}
				</ol>
			)}
			<p class="hint" role="status">{pictures.length > 0 ? t('face.count', { n: pictures.length, max: PICTURES_MAX }) : ''}</p>
			{told ? <div role="alert"><Notice kind="warn" title={t('face.badPictures')}>{t('face.badPicturesText')}</Notice></div> : <Failure error={foreign ? { code: 'another_face' } : send.error} />}
			{pictures.length < PICTURES_MAX && <Booth files use={t('photo.use')} onUse={(blob) => change([...pictures, blob])} />}
			<div class="actions end">
				{onCancel && <Button onClick={onCancel}>{t('cancel')}</Button>}
				{pictures.length > 0 && <Button kind="primary" busy={send.busy} onClick={send.run}>{t('face.enrol')}</Button>}
			</div>
		</section>
	);
}

const verdictKinds = { match: 'good', review: 'warn', no_match: 'bad' };

function Trial({ onClose }) {
	const [result, set] = useState(null);
	const check = useAction(async (blob) => {
		set(null);
		set(await api('/api/v1/student/verify-face', { method: 'POST', form: formOf({}, 'file', [blob]) }));
	});
	const wrong = faults(check.error)[0];
	return (
		<section class="panel">
			<h2>{t('face.try')}</h2>
			<p class="text">{t('face.tryText')}</p>
			<div role="status">
				{result && <Notice kind={verdictKinds[result.verdict] ?? 'warn'} title={t(`face.verdict.${result.verdict}`)}>{t(`face.advice.${verdictKinds[result.verdict] ? result.verdict : 'picture'}`)}</Notice>}
			</div>
			{wrong ? <div role="alert"><Notice kind="warn">{said(wrong)}</Notice></div> : <Failure error={check.error} />}
			<Booth use={t('face.compare')} busy={check.busy} onUse={check.run} />
			<div class="actions end"><Button onClick={onClose}>{t('close')}</Button></div>
		</section>
	);
}

function Enrolled({ face, onChanged }) {
	const [mode, setMode] = useState(null);
	const remove = useAction(async () => {
		await api('/api/v1/student/face', { method: 'DELETE' });
		setMode(null);
		onChanged();
	});
	const done = () => {
		setMode(null);
		onChanged();
	};
	return (
		<>
			<section class="panel">
				<h2>{t('face.state')} <Chip kind={face.enrolled ? 'good' : 'warn'}>{t(face.enrolled ? 'face.enrolled' : 'face.old')}</Chip></h2>
				<p class="text">{face.enrolled ? t('face.enrolledText', { n: face.references }) : t('face.oldText')}</p>
				{face.consent_at && <p class="text">{t('face.consentAt', { day: fullDay(face.consent_at) })}</p>}
				<div class="actions">
					{face.enrolled && <Button kind="primary" icon="camera" onClick={() => setMode('try')}>{t('face.try')}</Button>}
					{face.available && <Button onClick={() => setMode('again')}>{t('face.again')}</Button>}
					<Button kind="danger-plain" onClick={() => setMode('delete')}>{t('face.delete')}</Button>
				</div>
			</section>
			{mode === 'try' && <Trial onClose={() => setMode(null)} />}
			{mode === 'again' && <Enrol onDone={done} onCancel={() => setMode(null)} />}
			<section class="panel"><h2>{t('face.what')}</h2><Facts /></section>
			{mode === 'delete' && <Confirm title={t('face.deleteTitle')} text={t('face.deleteText')} act={t('face.delete')} action={remove} onClose={() => setMode(null)} />}
		</>
	);
}

export default function Face() {
	const source = useData('/api/v1/student/face');
	const face = source.data;
	const [done, setDone] = useState('');
	const changed = (word) => () => {
		setDone(t(word));
		source.reload();
	};
	const any = face && face.references > 0;
	return (
		<>
			<PageHead title={t('face.title')} lead={t('face.lead')} back={{ href: '/app/more', label: t('more.title') }} />
			<div role="status" class="said">{done && <Notice kind="good">{done}</Notice>}</div>
			<Listing source={source} count={any || face?.available ? 1 : 0} empty={<Empty icon="face" title={t('face.none')}>{t('face.noneText')}</Empty>}>
				{any ? <Enrolled face={face} onChanged={changed('face.changed')} /> : <Enrol onDone={changed('face.done')} />}
			</Listing>
		</>
	);
}
