/* The account, the look of the app, the rest of the menu on a phone, and the way out. */
import { useAction, useData } from '../lib/data.js';
import { language, languages, setLanguage, t } from '../lib/i18n.js';
import { go } from '../lib/router.js';
import { session, signOut } from '../lib/session.js';
import { setTheme, theme } from '../lib/theme.js';
import { menuOf } from '../pages.js';
import { Icon } from '../ui/icons.jsx';
import { Button, Failure, PageHead, Tabs } from '../ui/parts.jsx';

export default function More() {
	const { user } = session.value;
	const rest = menuOf(user.role).slice(4);
	const face = useData(user.role === 'student' ? '/api/v1/student/face' : null);
	const out = useAction(async () => {
		await signOut();
		go('/app/', { replace: true });
	});
	return (
		<>
			<PageHead title={t('more.account')} />
			<section class="panel person">
				<span class="initials" aria-hidden="true">{user.full_name.split(/\s+/).map((w) => w[0]).slice(0, 2).join('')}</span>
				<div>
					<h2>{user.full_name}</h2>
					<p>{user.email}</p>
					<p>{t(`role.${user.role}`)}</p>
				</div>
			</section>
			<nav class="panel links" aria-label={t('more.account')}>
				<a href="/app/account"><Icon name="keys" /> {t('account.title')}</a>
				{user.role === 'student' && <a href="/app/device"><Icon name="phone" /> {t('device.title')}</a>}
				{(face.data?.available || face.data?.references > 0) && <a href="/app/face"><Icon name="face" /> {t('face.title')}</a>}
			</nav>
			{rest.length > 0 && (
				<nav class="panel links only-phone" aria-label={t('more.pages')}>
					{rest.map((p) => <a key={p.path} href={p.path}><Icon name={p.icon} /> {t(p.title)}</a>)}
				</nav>
			)}
			<section class="panel settings">
				<div><h2>{t('language')}</h2><Tabs label={t('language')} value={language.value.id} onChange={setLanguage} options={languages.map((l) => ({ value: l.id, label: l.name }))} /></div>
				<div><h2>{t('theme')}</h2><Tabs label={t('theme')} value={theme.value} onChange={setTheme} options={['auto', 'light', 'dark'].map((v) => ({ value: v, label: t(`theme.${v}`) }))} /></div>
			</section>
			<Failure error={out.error} />
			<Button icon="out" busy={out.busy} onClick={out.run}>{t('signout')}</Button>
		</>
	);
}
