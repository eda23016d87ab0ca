// What is shown, as the address of the page: a link shows the same view. Language and theme are also
// remembered, because they belong to the reader and not to the view.

const THEMES = ["auto", "light", "dark"];

export function view() {
  const asked = new URLSearchParams(location.search);
  const language = asked.get("lang") ?? recall("language") ?? navigator.language;
  const theme = asked.get("theme") ?? recall("theme");
  return {
    app: asked.get("app") ?? "",
    zone: asked.get("tz") ?? "",
    language: language.toLowerCase().startsWith("zh") ? "zh" : "en",
    theme: THEMES.includes(theme) ? theme : "auto",
    tables: new Set((asked.get("tables") ?? "").split(",").filter(Boolean)),
  };
}

export function keep(shown, chosen) {
  if (chosen) remember(chosen, shown[chosen]);
  const address = new URL(location.href);
  const parts = {
    app: shown.app,
    tz: shown.zone,
    lang: shown.language,
    theme: shown.theme === "auto" ? "" : shown.theme,
    tables: [...shown.tables].join(","),
  };
  for (const [key, value] of Object.entries(parts)) {
    if (value) address.searchParams.set(key, value);
    else address.searchParams.delete(key);
  }
  history.replaceState(null, "", address);
}

export const themeAfter = (theme) => THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];

// Storage may be forbidden; then the page works without it.
function recall(key) {
  try {
    return localStorage.getItem(`hookline-${key}`);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(`hookline-${key}`, value);
  } catch {
    // Not remembered.
  }
}
