"""From the Markdown sources of the book to a checked web book.

The steps, one module each, in the order in which ``python -m book_tools build`` takes them:

* :mod:`book_tools.project` - where things stand: sources, table of contents, build folders;
* :mod:`book_tools.sources` - which files are sources, and how they are read;
* :mod:`book_tools.folders` - which folders may be deleted: those that were made here;
* :mod:`book_tools.notebooks` - a notebook as it is written: header, parameters, figures;
* :mod:`book_tools.kernels` - how the kernel of a notebook is started, whatever the user has set;
* :mod:`book_tools.execution` - run a notebook, and again only if what it rests on changed;
* :mod:`book_tools.links` - links to a notebook follow it to its executed form;
* :mod:`book_tools.assets` - what pages load besides text and pictures: every script once;
* :mod:`book_tools.polish` - maths keeps its punctuation, pictures open in full size;
* :mod:`book_tools.claims` - compare the numbers the notebooks glued with ``claims.yml``;
* :mod:`book_tools.claims_table` - the comparison as a page of the book;
* :mod:`book_tools.staging` - copy the sources for one build;
* :mod:`book_tools.build` - stage the sources, execute, run Sphinx, put the result in place;
* :mod:`book_tools.check` - is everything there that the sources promise?;
* :mod:`book_tools.clean` - remove what was made, and nothing else.

The stored results, which the book shows in profile *stored*:

* :mod:`book_tools.figures` - which of them a figure of the paper needs;
* :mod:`book_tools.reproduce` - compute them again;
* :mod:`book_tools.stored` - merge them into their tables, and check these;
* :mod:`book_tools.recheck` - compute a few of them again and compare;
* :mod:`book_tools.spread` - how far these may be off.

Two pictures of its own:

* :mod:`book_tools.schematic` - the drawing of four theories of one network;
* :mod:`book_tools.hover` - a phase diagram that shows every number.

The library itself (:mod:`feature_learning`) knows nothing of this package.
"""
