/* The page of one card in the middle: signing in and up. */
import { language, languages, setLanguage, t } from '../lib/i18n.js';
import { Logo } from './icons.jsx';

export function Card({ title, lead, children }) {
	return (
		<div class="card-page">
			<a class="brand" href="/app/"><Logo size={34} /> Muster</a>
			<section class="card">
				<h1 tabIndex={-1}>{title}</h1>
				{lead && <p class="lead">{lead}</p>}
				{children}
			</section>
			<Languages />
		</div>
	);
}

export function Languages() {
	return (
		<div class="languages" role="group" aria-label={t('language')}>
			{languages.map((l) => (
				<button type="button" key={l.id} lang={l.id} aria-pressed={language.value.id === l.id} onClick={() => setLanguage(l.id)}>{l.name}</button>
			))}
		</div>
	);
}
