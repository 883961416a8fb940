import { useState } from "preact/hooks";
import { IconMoon, IconSun, IconSystem } from "./icons.tsx";

const themes = ["system", "light", "dark"] as const;
type Theme = (typeof themes)[number];

const key = "rookery.theme";

function storedTheme(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === "light" || theme === "dark" ? theme : "system";
}

function apply(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(key);
    else localStorage.setItem(key, theme);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

/** A button that goes through the themes: the system's, light, dark. */
export function ThemeButton({ onChange }: { onChange?: () => void }) {
  const [theme, setTheme] = useState(storedTheme);
  const next = themes[(themes.indexOf(theme) + 1) % themes.length]!;
  const Icon = { system: IconSystem, light: IconSun, dark: IconMoon }[theme];
  const choose = () => {
    apply(next);
    setTheme(next);
    onChange?.();
  };
  return (
    <button type="button" class="icon-button" aria-label={`Theme: ${theme}. Change to ${next}`} onClick={choose}>
      <Icon />
    </button>
  );
}
