"""Portable archives: writing them reproducibly, reading those of others safely.

::

    name -> format_of -> Packing                                  formats
    Tree -> write_archive -> tar.* | zip | squashfs | sh | folder  write
        blocks (xz, bzip2), zipwriter, links (copies in place of links),
        squash (mksquashfs), selfextract (a script before a tar), folder
    archive -> extract -> new folder -> find_environment          extract
        tarstream, zipreader, squashreader -> Items -> Guard -> Site

Readers say what is stored and believe nothing of it; `Guard` holds the rules; `Site`
touches the disk. Nothing here knows of conda, but that environments have a conda-meta.
"""
