/* A picture that is in memory, drawn: the policy of the page shows no addresses made by scripts. */
import { useEffect, useRef } from 'preact/hooks';

export function Photo({ blob, label, mirror }) {
	const canvas = useRef(null);
	useEffect(() => {
		let gone = false;
		createImageBitmap(blob).then((bitmap) => {
			if (gone || !canvas.current)
				return;
			canvas.current.width = bitmap.width;
			canvas.current.height = bitmap.height;
			canvas.current.getContext('2d').drawImage(bitmap, 0, 0);
			bitmap.close();
		}, () => undefined);
		return () => {
			gone = true;
		};
	}, [blob]);
	return <canvas ref={canvas} class={mirror ? 'photo mirror' : 'photo'} role="img" aria-label={label} />;
}
