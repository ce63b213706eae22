"""Data sets of a project: numbered versions of files, each visible only when it is complete.

```
Datasets/NAME/dataset.json         there is such a data set; removed last
Datasets/NAME/versions/3.json      version 3: created exclusively when all its files are there; replaced by a tombstone
                                   when it is deleted, so that a number is never used again
Datasets/NAME/lists/SHA256.gz      names, sizes and checksums of a version's files
Datasets/NAME/objects/ab/SHA256    content, once for all versions: a file, or on remote stores a piece of a large one
Datasets/NAME/uploads/ID/          an upload that goes on, or was interrupted, with the list that it needs; its lease
Datasets/NAME/unpacked/            archives of uploads that go on; only in local projects
Datasets/NAME/removal/             the lease of a process that deletes versions
```

Content is shared by the versions of one data set, and not by those of all: then deleting a version concerns one folder,
whose permissions may differ from others', and a data set can be copied or deleted as a folder.
"""
