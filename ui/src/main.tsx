import { render } from "preact";
import { useEffect } from "preact/hooks";
import { isReport, reportRef, useApi } from "./api";
import { Failure } from "./components/Basics";
import type { Info } from "./documents";
import { BuildPage } from "./pages/BuildPage";
import { BuildsPage } from "./pages/BuildsPage";
import { ComparePage } from "./pages/ComparePage";
import { ImagePage, ImagesPage } from "./pages/ImagePages";
import { StorePage } from "./pages/StorePage";
import { href, useAddress, type Address } from "./router";
import "./style.css";
import { useTheme, type Theme } from "./theme";

const THEMES: Theme[] = ["system", "light", "dark"];

function App() {
  const address = useAddress();
  const [theme, setTheme] = useTheme();
  const info = useApi<Info>("/api/info");
  const page = address.path[0] || "builds";
  const view = address.path.join("/");
  useEffect(() => {
    scrollTo(0, 0);
  }, [view]);
  const links: [string, string][] = isReport ? [] : [["builds", "Builds"], ...(info.data?.images ? [["images", "Images"] as [string, string]] : []), ["store", "Store"]];
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}>
        Skip to the content
      </a>
      <header class="top">
        <span class="wordmark">lamina</span>
        <nav aria-label="Pages">
          {links.map(([name, label]) => (
            <a key={name} href={href([name])} aria-current={page === name || (name === "builds" && page === "compare") ? "page" : undefined}>
              {label}
            </a>
          ))}
          {isReport && <span class="quiet">Build report</span>}
        </nav>
        <span class="spacer" />
        <label class="theme">
          <span class="hidden">Theme</span>
          <select value={theme} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
            {THEMES.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      </header>
      <main id="main" tabIndex={-1}>
        {info.error ? <Failure error={info.error} /> : <Page page={page} address={address} info={info.data} />}
      </main>
    </>
  );
}

function Page({ page, address, info }: { page: string; address: Address; info: Info | null }) {
  const build = address.path[1] ?? reportRef;
  if (page === "builds" && build) return <BuildPage key={build} reference={build} address={address} />;
  if (page === "builds") return <BuildsPage address={address} />;
  if (page === "compare") return <ComparePage address={address} />;
  if (page === "images") return address.path[1] ? <ImagePage address={address} /> : <ImagesPage />;
  if (page === "store") return info && <StorePage address={address} info={info} />;
  return <p class="quiet empty">There is no such page.</p>;
}

render(<App />, document.getElementById("app")!);
