/* The pieces that pages are made of. */
import { useEffect, useId, useRef } from 'preact/hooks';

import { has, t } from '../lib/i18n.js';
import { Icon } from './icons.jsx';

export function Button({ kind = 'plain', busy, icon, children, href, class: extra = '', ...rest }) {
	const cls = `button ${kind} ${extra}`;
	const inner = <>{icon && <Icon name={icon} size={18} />}<span>{children}</span></>;
	if (href)
		return <a class={cls} href={href} {...rest}>{inner}</a>;
	return <button type="button" class={cls} aria-disabled={busy || undefined} data-busy={busy || undefined} {...rest}>{inner}</button>;
}

export function IconButton({ icon, label, ...rest }) {
	return <button type="button" class="icon-button" aria-label={label} title={label} {...rest}><Icon name={icon} /></button>;
}

export function Field({ label, hint, error, as: Tag = 'input', inputRef, children, ...rest }) {
	const id = useId();
	const notes = [hint && `${id}h`, error && `${id}e`].filter(Boolean).join(' ') || undefined;
	return (
		<div class="field">
			<label for={id}>{label}</label>
			<Tag id={id} ref={inputRef} aria-describedby={notes} aria-invalid={error ? 'true' : undefined} {...rest}>{children}</Tag>
			{hint && <p class="hint" id={`${id}h`}>{hint}</p>}
			{error && <p class="field-error" id={`${id}e`}>{error}</p>}
		</div>
	);
}

/* What to read for a failure: what happened, and what to do. */
export function errorText(e) {
	if (!e)
		return '';
	if (e.code === undefined)
		return t('error.internal_error');
	const key = `error.${e.code}`;
	return has(key) ? t(key) : e.message;
}

export function Notice({ kind = 'info', children, title }) {
	const icon = { info: 'info', good: 'check', warn: 'warn', bad: 'warn' }[kind];
	return (
		<div class={`notice ${kind}`}>
			<Icon name={icon} />
			<div>{title && <strong>{title}</strong>}<div>{children}</div></div>
		</div>
	);
}

export function Failure({ error, retry }) {
	const box = useRef(null);
	useEffect(() => {
		if (error)
			box.current?.scrollIntoView?.({ block: 'nearest' });
	}, [error]);
	return (
		<div role="alert" ref={box}>
			{error && (
				<Notice kind="bad">
					{errorText(error)}
					{error.status >= 500 && error.requestId && <small class="ref">{t('error.reference', { id: error.requestId })}</small>}
					{retry && error.status !== 404 && <p><Button onClick={retry}>{t('again')}</Button></p>}
				</Notice>
			)}
		</div>
	);
}

/* `page`: it stands for the whole page, not for a list in it. */
export function Empty({ icon, title, children, action, page }) {
	return (
		<div class="empty">
			<span class="empty-icon"><Icon name={icon} size={30} /></span>
			{page ? <h1 tabIndex={-1}>{title}</h1> : <h2>{title}</h2>}
			<p>{children}</p>
			{action}
		</div>
	);
}

export function Skeleton({ rows = 4 }) {
	return <div class="skeleton" role="status" aria-label={t('loading')}>{Array.from({ length: rows }, (_, i) => <i key={i} />)}</div>;
}

/* A list's usual course: waiting, failed, nothing there, there. */
export function Listing({ source, empty, count, rows, children }) {
	if (source.loading)
		return <Skeleton rows={rows} />;
	return (
		<>
			<Failure error={source.error} retry={source.reload} />
			{source.data && (count ? children : empty)}
		</>
	);
}

export function PageHead({ title, lead, back, children }) {
	return (
		<header class="page-head">
			<div>
				{back && <a class="back" href={back.href}><Icon name="back" size={16} />{back.label}</a>}
				<h1 tabIndex={-1}>{title}</h1>
				{lead && <p class="lead">{lead}</p>}
			</div>
			{children && <div class="actions">{children}</div>}
		</header>
	);
}

export function Chip({ kind = 'plain', children }) {
	return <span class={`chip ${kind}`}>{children}</span>;
}

/* A ring that empties; `left` and `of` in seconds. */
export function Ring({ left, of, size = 44, stroke = 4, children }) {
	const r = (size - stroke) / 2;
	const round = 2 * Math.PI * r;
	const part = Math.min(1, Math.max(0, left / of));
	return (
		<span class="ring" style={{ width: `${size}px`, height: `${size}px` }}>
			<svg width={size} height={size} aria-hidden="true">
				<circle class="ring-back" cx={size / 2} cy={size / 2} r={r} stroke-width={stroke} />
				<circle class="ring-front" cx={size / 2} cy={size / 2} r={r} stroke-width={stroke} stroke-dasharray={round}
					stroke-dashoffset={round * (1 - part)} transform={`rotate(-90 ${size / 2} ${size / 2})`} />
			</svg>
			<span class="ring-text">{children}</span>
		</span>
	);
}

/* A modal window; the browser keeps the focus in it and closes it on Escape. */
export function Dialog({ title, onClose, children, wide }) {
	const box = useRef(null);
	const id = useId();
	useEffect(() => {
		const before = document.activeElement;
		box.current.showModal();
		return () => before?.focus?.();
	}, []);
	return (
		<dialog ref={box} class={wide ? 'wide' : ''} aria-labelledby={id} onCancel={(e) => {
			e.preventDefault();
			onClose();
		}} onClick={(e) => e.target === box.current && onClose()}>
			<div class="dialog-body">
				<header>
					<h2 id={id}>{title}</h2>
					<IconButton icon="cross" label={t('close')} onClick={onClose} />
				</header>
				{children}
			</div>
		</dialog>
	);
}

/* A form that does something here instead of leaving the page. */
export function Form({ onSend, ...more }) {
	return <form class="form" onSubmit={(e) => {
		e.preventDefault();
		onSend();
	}} {...more} />;
}

/* A dialog with fields; `act` names what `action` does with them. */
export function DialogForm({ title, wide, text, action, act, kind = 'primary', onClose, children }) {
	return (
		<Dialog title={title} wide={wide} onClose={onClose}>
			<Form onSend={action.run}>
				{text && <p class="text">{text}</p>}
				<Failure error={action.error} />
				{children}
				<footer>
					<Button onClick={onClose}>{t('cancel')}</Button>
					<Button kind={kind} type="submit" busy={action.busy}>{act}</Button>
				</footer>
			</Form>
		</Dialog>
	);
}

/* Asks before something that cannot be taken back. */
export function Confirm({ title, text, act, action, onClose }) {
	return (
		<Dialog title={title} onClose={onClose}>
			<p class="text">{text}</p>
			<Failure error={action.error} />
			<footer>
				<Button onClick={onClose}>{t('cancel')}</Button>
				<Button kind="danger" busy={action.busy} onClick={action.run}>{act}</Button>
			</footer>
		</Dialog>
	);
}

export function Pager({ page, limit, total, onPage }) {
	const last = Math.max(1, Math.ceil(total / limit));
	if (last === 1)
		return null;
	return (
		<nav class="pager" aria-label={t('pages')}>
			<Button disabled={page <= 1} onClick={() => onPage(page - 1)}>{t('previous')}</Button>
			<span>{t('pageOf', { page, last })}</span>
			<Button disabled={page >= last} onClick={() => onPage(page + 1)}>{t('next')}</Button>
		</nav>
	);
}

export function Tabs({ label, options, value, onChange }) {
	return (
		<div class="tabs" role="group" aria-label={label}>
			{options.map((o) => (
				<button type="button" key={o.value} aria-pressed={value === o.value} onClick={() => onChange(o.value)}>{o.label}</button>
			))}
		</div>
	);
}

/* Says something to a screen reader when it changes, without showing it. */
export function Say({ children }) {
	return <div class="unseen" role="status">{children}</div>;
}
