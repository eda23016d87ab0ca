// Numbers and times as text, by the reader's locale and the chosen time zone.

let locale = "en";
let zone = "UTC";
const formats = new Map();

// `language` is en or zh; the browser's own variant of it decides, for example en-GB.
export function readBy(language, timeZone) {
  locale = navigator.languages.find((tag) => tag.startsWith(language)) ?? { zh: "zh-CN", en: "en" }[language];
  zone = timeZone ?? zone;
  formats.clear();
}

function cached(key, make) {
  if (!formats.has(key)) formats.set(key, make());
  return formats.get(key);
}

function number(value, options) {
  const key = JSON.stringify(options);
  return cached(key, () => new Intl.NumberFormat(locale, options)).format(value);
}

export const integer = (value) => number(value, { maximumFractionDigits: 0 });

// 0.3, 4.2, 132: one decimal only where it says something.
export const rate = (value) => number(value, { maximumFractionDigits: value < 10 ? 1 : 0 });

// For axes: 20K, 2万.
export const compact = (value) => number(value, { notation: "compact", maximumFractionDigits: 1 });

export const percent = (share, digits = 1) =>
  number(share, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });

export const fixed = (value, digits) =>
  number(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });

// People: {value, error} as the API gives them. "≈" says that the number is estimated.
export const people = (count) => (count.error ? "≈ " : "") + integer(count.value);

function time(at, options) {
  const key = JSON.stringify(options);
  const format = () => new Intl.DateTimeFormat(locale, { timeZone: zone, hourCycle: "h23", ...options });
  return cached(key, format).format(new Date(at));
}

export const clock = (at) => time(at, { hour: "2-digit", minute: "2-digit" });
export const clockSeconds = (at) => time(at, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const day = (at) => time(at, { month: "short", day: "numeric", weekday: "short" });
export const dayShort = (at) => time(at, { month: "short", day: "numeric" });

// 14 is "14:00–15:00". Hours are those on the wall: the API's times carry the zone's offset.
export const hour = (number_) => `${String(number_).padStart(2, "0")}:00`;
export const hourRange = (number_) => `${hour(number_)}–${hour((number_ + 1) % 24)}`;
export const hourOf = (begin) => Number(begin.slice(11, 13));
