// A worker file that throws while it loads.
throw new Error('no luck today');
