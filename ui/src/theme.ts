// The theme: that of the system, or a chosen one.
import { useEffect, useState } from "preact/hooks";

export type Theme = "system" | "light" | "dark";
const KEY = "lamina-theme";

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system"; // no storage, as in some reports
  }
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

applyTheme(stored());

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(stored);
  useEffect(() => {
    applyTheme(theme);
    dispatchEvent(new Event("themechange"));
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // the theme is only kept for this visit
    }
  }, [theme]);
  return [theme, setTheme];
}

/** A colour of the style sheet as `rgb(…)`, for canvases; `alpha` makes it translucent. */
export function cssColor(name: string, alpha = 1): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return alpha === 1 ? color : color.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`);
}

/** A number that changes with the theme, for canvases. */
export function useThemeVersion(): number {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const changed = () => setVersion((n) => n + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", changed);
    addEventListener("themechange", changed);
    return () => {
      media.removeEventListener("change", changed);
      removeEventListener("themechange", changed);
    };
  }, []);
  return version;
}
