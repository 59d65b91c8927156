"""Build a checked web book from the Markdown sources.

The modules for the steps of ``python -m book_tools build``:

* :mod:`book_tools.project` - locations of sources, table of contents and build folders;
* :mod:`book_tools.sources` - which files are sources, and how they are read;
* :mod:`book_tools.folders` - which folders may be deleted: only those that were made here;
* :mod:`book_tools.notebooks` - the sources of notebooks: header, parameters, figures;
* :mod:`book_tools.kernels` - start the kernel of a notebook independently of the user's settings;
* :mod:`book_tools.execution` - run a notebook, and again only if its inputs changed;
* :mod:`book_tools.links` - redirect links from a notebook's source to its executed form;
* :mod:`book_tools.assets` - share scripts between the pages and remove unused ones;
* :mod:`book_tools.postprocess` - keep punctuation at formulas, link pictures to their full size;
* :mod:`book_tools.claims` - compare the numbers glued by the notebooks with ``claims.yml``;
* :mod:`book_tools.claims_table` - the comparison as tables of the book;
* :mod:`book_tools.staging` - copy the sources for one build;
* :mod:`book_tools.build` - stage the sources, execute, run Sphinx, put the result in place;
* :mod:`book_tools.check` - check that the built book has everything that the sources promise;
* :mod:`book_tools.clean` - remove only what was made here.

The modules for stored results, which the book shows in profile *stored*:

* :mod:`book_tools.figures` - which results a figure of the paper needs;
* :mod:`book_tools.reproduce` - compute them again;
* :mod:`book_tools.stored` - merge them into their tables, and check the tables;
* :mod:`book_tools.page` - what every page asks for: the results of a sweep, by its name.

Two figures of the book:

* :mod:`book_tools.schematic` - the drawing of the theories of one network;
* :mod:`book_tools.hover` - a phase diagram that shows every number.

The library (:mod:`feature_learning`) does not depend on this package.
"""
