// Tells JupyterLab's widget manager where the viewer's model and view are.
//
// Written as what JupyterLab loads (a module federation container), so that nothing has to be built, and nothing comes from a blob: the
// pages' policy takes scripts from their own server alone. The view itself is in ES modules beside this file.
(() => {
  "use strict";

  const NAME = "ctlab-viewer";
  const VERSION = "1.0.0";
  const HERE = document.currentScript.src;
  let shared = {};

  async function provided(name) {
    const versions = Object.values(shared[name] ?? {});
    if (versions.length === 0) throw new Error(`JupyterLab does not share ${name}`);
    return (await versions[0].get())();
  }

  async function widgets() {
    const [base, { makeView }] = await Promise.all([provided("@jupyter-widgets/base"), import(new URL("./viewer/view.js", HERE).href)]);
    class ViewerModel extends base.DOMWidgetModel {}
    return { ViewerModel, ViewerView: makeView(base.DOMWidgetView) };
  }

  async function extension() {
    const { IJupyterWidgetRegistry } = await provided("@jupyter-widgets/base");
    const activate = (_app, registry) => registry.registerWidget({ name: NAME, version: VERSION, exports: widgets });
    const plugin = { id: `${NAME}:plugin`, autoStart: true, requires: [IJupyterWidgetRegistry], activate };
    return { __esModule: true, default: plugin };
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
