// The faces of the board. A system without an emoji font would show boxes, so there they are drawn.
import { el } from '../shared/kit.ts';

const SVG = 'http://www.w3.org/2000/svg';
const SKIN = '#ffcc4d';
const LINE = '#5c3d00';

interface Face {
  name: string;
  /** Paths of a drawing 36 by 36, each with what fills it; without one it is a line. On a round face, if `round` is not false. */
  paths: [path: string, fill?: string][];
  round?: false;
}

const EYES: [string, string] = ['M10 14a2 2.6 0 1 0 4 0a2 2.6 0 1 0-4 0M22 14a2 2.6 0 1 0 4 0a2 2.6 0 1 0-4 0', LINE];

/** Emoji by what they are called, in the order in which they are offered. */
export const FACES: Readonly<Record<string, Face>> = {
  '😀': { name: 'grinning', paths: [EYES, ['M8 20h20a10 9 0 0 1-20 0z', LINE]] },
  '😎': { name: 'cool', paths: [['M6 11h24v3a5 5 0 0 1-10 0v-1h-4v1a5 5 0 0 1-10 0z', '#20262e'], ['M11 24a8 5 0 0 0 14 0']] },
  '🥳': { name: 'celebrating', paths: [EYES, ['M11 21h14a7 6 0 0 1-14 0z', LINE], ['M13 3L18-6 23 3z', '#8b5cf6'], ['M25 22l9-3M25 25l9 2']] },
  '🤔': { name: 'thinking', paths: [EYES, ['M8 9l6-2M22 8l6 2M14 23l9-2'], ['M9 26q7-4 9 0q-3 1-3 5q-6 3-8-1z', '#e8a33d']] },
  '😴': { name: 'sleepy', paths: [['M9 15q3 3 6 0M21 15q3 3 6 0M15 25a3 3 0 1 0 6 0a3 3 0 1 0-6 0M27 3h6l-6 6h6']] },
  '😤': { name: 'huffing', paths: [['M9 12l6 3M27 12l-6 3M12 23q6-4 12 0'], EYES, ['M7 29q-6-2-5 4h9zM29 29q6-2 5 4h-9z', '#dfe7ef']] },
  '🥲': { name: 'touched', paths: [EYES, ['M10 22q8 8 16 0'], ['M25 18q4 6 0 7q-4-1 0-7z', '#5dadec']] },
  '🔥': {
    name: 'on fire',
    round: false,
    paths: [
      ['M19 2q2 7 7 11t4 12q-2 9-12 9T6 25q-1-7 5-12q0 4 3 5q-1-9 5-16z', '#f4900c'],
      ['M18 19q5 5 5 9t-5 5q-5-1-5-5t5-9z', '#ffd15c'],
    ],
  },
  '🌱': { name: 'growing', round: false, paths: [['M18 34V18', undefined], ['M18 19Q4 20 3 7q14-1 15 12zM18 15Q19 4 33 4q-1 12-15 11z', '#5c9e31']] },
  '☕': { name: 'coffee', round: false, paths: [['M28 17q6-1 5 4t-7 4'], ['M5 14h23v9q0 8-8 8h-7q-8 0-8-8z', '#c1694f'], ['M11 10q-3-3 0-6M17 10q-3-3 0-6M23 10q-3-3 0-6']] },
};

function shape(d: string, fill: string | undefined): SVGElement {
  const path = document.createElementNS(SVG, 'path');
  const given = fill ? { d, fill } : { d, fill: 'none', stroke: 'currentColor', 'stroke-width': '2', 'stroke-linecap': 'round', 'stroke-linejoin': 'round' };
  for (const [name, value] of Object.entries(given)) path.setAttribute(name, value);
  return path;
}

function drawing({ paths, round }: Face): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 -6 36 42');
  svg.setAttribute('aria-hidden', 'true');
  if (round !== false) {
    svg.style.color = LINE;
    svg.append(shape('M0 18a18 18 0 1 0 36 0a18 18 0 1 0-36 0', SKIN));
  }
  svg.append(...paths.map(([path, fill]) => shape(path, fill)));
  return svg;
}

/** How a text looks in pixels. */
function pixels(text: string): string {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  if (!context) return text;
  context.font = '24px system-ui, sans-serif';
  context.textBaseline = 'top';
  context.fillText(text, 2, 2);
  return context.getImageData(0, 0, 32, 32).data.join();
}

/** Whether the system has all of them: none looks like what nothing has. */
const has = (() => {
  const box = pixels('\u{10fffe}');
  return Object.keys(FACES).every(face => pixels(face) !== box);
})();

/** Its emoji, or its drawing; anything else is shown as the text that it is. */
export function faceOf(face: string): HTMLElement {
  const known = FACES[face];
  return el('span', { class: 'face', role: 'img', 'aria-label': known?.name ?? face, 'data-face': face }, known && !has ? (drawing(known) as Node) : face);
}

/** In words, with the emoji where the system has it. */
export const faceInWords = (face: string): string => (has ? face : `(${FACES[face]?.name ?? face})`);
export const faceAsChoice = (face: string): string => `${has ? `${face} ` : ''}${FACES[face]?.name ?? face}`;
