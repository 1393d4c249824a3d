/* What the checks of a mark found, each with its reason. */
import { has, language, t } from '../lib/i18n.js';
import { Chip } from './parts.jsx';

const kinds = { pass: 'good', flag: 'warn', reject: 'bad', skip: 'plain' };

/* The server's sentence in the language of the page, where it is one that is known; a number in it stands for any. */
export function said(text) {
	const key = `said.${text.replace(/\d+/g, '{n}')}`;
	return has(key) ? t(key, { n: text.match(/\d+/)?.[0] }) : text;
}

const nameOf = (layer) => (has(`layer.${layer}`) ? t(`layer.${layer}`) : layer);

/* `score` of the geofence is the distance; `distance` is the same, from where there are no scores. */
function Words({ l, distance }) {
	const away = l.layer === 'geofence' ? l.score ?? distance : null;
	return <span>{l.detail ? said(l.detail) : t(`verdict.${l.verdict}`)}{away != null && ` ${t('layer.away', { n: new Intl.NumberFormat(language.value.id).format(away) })}`}</span>;
}

/* `all`: those that passed without a word as well. */
export function Layers({ layers, all, distance }) {
	const told = (layers ?? []).filter((l) => l.verdict === 'flag' || l.verdict === 'reject' || l.detail || (all && l.verdict === 'pass'));
	return (
		<ul class="layers">
			{told.map((l, i) => (
				<li key={`${l.layer} ${i}`}><Chip kind={kinds[l.verdict]}>{nameOf(l.layer)}</Chip> <Words l={l} distance={distance} /></li>
			))}
		</ul>
	);
}
