// The tutorials as cards of the Lab's launcher. Which there are, in whose folder and in which language, says the page's configuration
// (enclave/server_config.py): nothing is asked of the cloud before a card is chosen.
//
// Written as what JupyterLab loads (a module federation container), so that nothing has to be built.
(() => {
  "use strict";

  const NAME = "renkei-tutorials";
  const OPEN = `${NAME}:open`;
  let shared = {};

  async function provided(name) {
    const versions = Object.values(shared[name] ?? {});
    if (versions.length === 0) throw new Error(`JupyterLab does not share ${name}`);
    return (await versions[0].get())();
  }

  async function extension() {
    const [{ ILauncher }, { PageConfig }, { notebookIcon }] = await Promise.all(
      ["@jupyterlab/launcher", "@jupyterlab/coreutils", "@jupyterlab/ui-components"].map(provided),
    );

    function activate(app, launcher) {
      const told = PageConfig.getOption("renkeiTutorials");
      if (told === "") return;
      const { section, folder, cards } = JSON.parse(told);
      app.commands.addCommand(OPEN, {
        label: (args) => args.title ?? section,
        icon: notebookIcon,
        execute: ({ path }) => app.commands.execute("docmanager:open", { path }),
      });
      cards.forEach(({ file, title }, rank) => {
        // Above the Lab's own sections, of which the first has 0.
        const args = { path: `${folder}/${file}`, title };
        launcher.add({ command: OPEN, args, category: section, categoryRank: -1, rank });
      });
    }

    return { __esModule: true, default: { id: `${NAME}:plugin`, autoStart: true, requires: [ILauncher], activate } };
  }

  const modules = { "./extension": extension };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: (scope) => {
      shared = scope;
    },
    get: async (name) => {
      if (!(name in modules)) throw new Error(`there is no module ${name}`);
      const found = await modules[name]();
      return () => found;
    },
  };
})();
