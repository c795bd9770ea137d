# Records of the classic flist database, written from the wire facts alone: which word and pointer
# holds what. Type ids never reach the wire.
@0x8c47a27fdf0cb3f2;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("znode::flist::wire");

struct FileBlock {
  hash @0 :Data;  # Name of the stored block: BLAKE2b-128 of what the backend holds.
  key  @1 :Data;  # BLAKE2b-128 of the plain chunk; also the key of its cipher.
}

struct File {
  blockSize @0 :UInt16;  # In 4096 bytes; always 128, and readers ignore it.
  blocks    @1 :List(FileBlock);
}

struct Link {
  target @0 :Text;
}

struct Special {
  type @0 :Type;
  data @1 :Data;  # "MAJOR,MINOR" of a device.

  enum Type {
    socket   @0;
    block    @1;
    chardev  @2;
    fifopipe @3;
    unknown  @4;
  }
}

struct SubDir {
  key @0 :Text;
}

struct Inode {
  name @0 :Text;
  size @1 :UInt64;
  attributes :union {
    dir     @2 :SubDir;
    file    @3 :File;
    link    @4 :Link;
    special @5 :Special;
  }
  aclkey           @6 :Text;
  modificationTime @7 :UInt32;
  creationTime     @8 :UInt32;
}

struct Dir {
  name             @0 :Text;
  location         @1 :Text;
  contents         @2 :List(Inode);
  parent           @3 :Text;
  size             @4 :UInt64;
  aclkey           @5 :Text;
  modificationTime @6 :UInt32;
  creationTime     @7 :UInt32;
}

struct ACI {
  uname  @0 :Text;
  gname  @1 :Text;
  mode   @2 :UInt16;
  rights @3 :List(Right);
  id     @4 :UInt32;
  uid    @5 :Int64 = -1;  # -1: records before 2020-07-30 know names only.
  gid    @6 :Int64 = -1;

  struct Right {
    right       @0 :Text;
    usergroupid @1 :UInt16;
  }
}
