"""Proof that an image, an environment or an archive works, and is what it should be.

::

    open_image | open_prefix | open_archive -> Subject      subject, opening
    Subject + Context -> Check.run -> Finding                checks/, one file a family
    verify -> Verification                                   verifying

`prefixes` is the scan for build paths that also watches every build.
"""
