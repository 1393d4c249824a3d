/* The frame of a page: menu, content, and who may see what. */
import { useEffect, useRef, useState } from 'preact/hooks';

import { scan } from '../lib/checkin.js';
import { handedToken } from '../lib/frames.js';
import { language, t, wholeLanguage } from '../lib/i18n.js';
import { latest, useNewsOf } from '../lib/news.js';
import { go, pageOf, place } from '../lib/router.js';
import { session, startSession } from '../lib/session.js';
import { admits, menuOf } from '../pages.js';
import { Icon, Logo } from './icons.jsx';
import { Button, Empty, IconButton, Skeleton } from './parts.jsx';

const NEWS_EVERY_S = 30; /* without the stream */
const TOAST_MS = 10_000;
const toasted = ['decision', 'security', 'reminder'];

function useOnline() {
	const [online, set] = useState(navigator.onLine);
	useEffect(() => {
		const seen = () => set(navigator.onLine);
		addEventListener('online', seen);
		addEventListener('offline', seen);
		return () => {
			removeEventListener('online', seen);
			removeEventListener('offline', seen);
		};
	}, []);
	return online;
}

/* The page's code, loaded; the one before stays until then. */
function usePage(path) {
	const [shown, set] = useState({ path: null });
	useEffect(() => {
		let current = true;
		const { page, params } = pageOf(path);
		if (!page)
			set({ path, page: null });
		else
			Promise.all([page.load(), page.light || wholeLanguage()]).then(
				([m]) => current && set({ path, page, params, Page: m.default }),
				() => current && set({ path, page, failed: true }),
			);
		return () => {
			current = false;
		};
	}, [path]);
	return shown;
}

function MenuLink({ page, unread, short }) {
	const here = place.value === page.path || place.value.startsWith(`${page.path}/`);
	const isNews = page.path === '/app/notifications';
	return (
		<a href={page.path} aria-current={here ? 'page' : undefined}>
			<span class="menu-icon">
				<Icon name={page.icon} size={22} />
				{isNews && unread > 0 && <b class="badge" aria-hidden="true">{unread > 99 ? '99+' : unread}</b>}
			</span>
			<span>{t(short ? `${page.title}.short` : page.title)}{isNews && unread > 0 && <span class="unseen"> {t('notes.unread', { n: unread })}</span>}</span>
		</a>
	);
}

function Menu({ role }) {
	const news = useNewsOf('/api/notifications?unread=true&limit=1', NEWS_EVERY_S);
	const unread = news.data?.unread ?? 0;
	const rows = menuOf(role);
	const more = { path: '/app/more', title: 'more.title', icon: 'more' };
	return (
		<>
			<nav class="side" aria-label={t('menu')}>
				<a class="brand" href="/app/"><Logo /> Muster</a>
				{rows.map((p) => <MenuLink key={p.path} page={p} unread={unread} />)}
				<span class="side-gap" />
				<MenuLink page={{ ...more, title: 'more.account', icon: 'person' }} />
			</nav>
			<nav class="bottom" aria-label={t('menu')}>
				{rows.slice(0, 4).map((p) => <MenuLink key={p.path} page={p} unread={unread} short />)}
				<MenuLink page={more} short />
			</nav>
		</>
	);
}

/* What came just now and was meant for this person; the list keeps it. */
function Toast() {
	const note = latest.value;
	const shown = note && toasted.includes(note.type) && place.value !== '/app/notifications';
	useEffect(() => {
		if (!note)
			return undefined;
		const timer = setTimeout(() => {
			latest.value = null;
		}, TOAST_MS);
		return () => clearTimeout(timer);
	}, [note]);
	return (
		<div class="toast" role="status">
			{shown && (
				<>
					<Icon name="bell" />
					<a href="/app/notifications"><strong>{note.title}</strong><span>{note.message}</span></a>
					<IconButton icon="cross" label={t('close')} onClick={() => {
						latest.value = null;
					}} />
				</>
			)}
		</div>
	);
}

/* A scan that is not completed yet follows its owner through the app. */
function PendingScan() {
	const { phase, event } = scan.value;
	if (!['account', 'device', 'selfie', 'queued', 'waiting', 'done', 'refused'].includes(phase))
		return null;
	return <a class="banner" href="/c"><Icon name="scan" /> <span>{t(`checkin.banner.${phase}`, { title: event?.title ?? t('checkin.anEvent') })}</span></a>;
}

const open = (page) => page.who === 'anyone' || (page.screen && handedToken());

function Guard({ page, children }) {
	const { state, user } = session.value;
	if (open(page))
		return children;
	if (state === 'starting' || state === 'out')
		return <Skeleton />;
	if (state === 'offline')
		return (
			<Empty page icon="cloud" title={t('offline.title')} action={<Button kind="primary" onClick={startSession}>{t('again')}</Button>}>
				{t('offline.text')}
			</Empty>
		);
	if (!admits(page, user?.role))
		return <Empty page icon="info" title={t('notForYou.title')} action={<Button href="/app/">{t('home')}</Button>}>{t('notForYou.text')}</Empty>;
	return children;
}

export function Shell() {
	const path = place.value;
	const { state, user } = session.value;
	const online = useOnline();
	const shown = usePage(path);
	const main = useRef(null);
	const first = useRef(true);

	useEffect(() => {
		/* Who signed out himself is on the way elsewhere already. */
		if (place.peek() === path && shown.path === path && shown.page && !open(shown.page) && state === 'out')
			go(`/app/?next=${encodeURIComponent(path)}`, { replace: true });
	}, [shown.page, state, path]);

	useEffect(() => {
		const retry = () => session.value.state === 'offline' && startSession();
		addEventListener('online', retry);
		return () => removeEventListener('online', retry);
	}, []);

	useEffect(() => {
		if (!shown.path)
			return;
		document.title = `${t(shown.page?.title ?? 'notFound.title')} · Muster`;
		if (!first.current) {
			scrollTo(0, 0);
			main.current?.querySelector('h1')?.focus({ preventScroll: true });
		}
		first.current = false;
	}, [shown.path, language.value.id]);

	if (!shown.path)
		return <main class="bare" />;

	let content;
	if (!shown.page)
		content = <Empty page icon="info" title={t('notFound.title')} action={<Button href="/app/">{t('home')}</Button>}>{t('notFound.text')}</Empty>;
	else if (shown.failed)
		content = <Empty page icon="cloud" title={t('offline.title')} action={<Button kind="primary" onClick={() => location.reload()}>{t('again')}</Button>}>{t('offline.text')}</Empty>;
	else
		content = <Guard page={shown.page}><shown.Page key={shown.path} params={shown.params} /></Guard>;

	if (shown.page?.bare)
		return <main class={`bare ${shown.page.screen ? 'stage' : ''}`} ref={main}>{content}</main>;
	return (
		<div class={`frame ${state === 'in' ? 'with-menu' : ''}`}>
			<a class="skip" href="#content" onClick={(e) => {
				e.preventDefault();
				main.current.focus();
			}}>{t('skip')}</a>
			{state === 'in' && <Menu role={user.role} />}
			{state === 'in' && <Toast />}
			{state !== 'in' && <header class="top"><a class="brand" href="/app/"><Logo /> Muster</a></header>}
			<main id="content" tabIndex={-1} ref={main}>
				{!online && <div class="banner quiet" role="status"><Icon name="cloud" /> <span>{t('offline.banner')}</span></div>}
				<PendingScan />
				{content}
			</main>
		</div>
	);
}

