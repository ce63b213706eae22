"""The dashboard: pages in the browser to watch, compare and start runs, over the directories of one project.

It reads records and journals through `runs/` and `storage/`, keeps no data of its own, and never unpickles anything.
Each page is a module that registers itself (`register`); `layout` has what is common to them, `access` decides who may
see them, and `feeds` follows the journals of the runs that somebody watches. What changes fast is drawn in the browser
by the modules in `static/`, which get numbers and texts, never markup.

Everything that comes from runs is hostile. It is shown by `ui.label` and as properties whose values are texts, never by
`ui.html` or `ui.markdown`, and never as the key of an option: NiceGUI evaluates values whose keys begin with a colon.
"""
