"""Container images without a daemon: deterministic, lazy, content-addressed.

::

    entries -> write_tar -> Compression -> BlobStore -> Layer     tar, compress, blobs, layer
    Tree -> plan_layers -> [LayerPlan]                            plan
    layers + ImageConfig -> make_image -> Image                   config, image
    Image -> write_layout | write_archive | archive_chunks        layout, archive
    path -> read_image -> Image -> merged_view, read_files        read, rootfs
    Image -> validate                                             validate

An `Image` is data and openers: its blobs are read when a sink wants them, and
every read is checked against its digest. Nothing here knows where the files
came from.
"""
