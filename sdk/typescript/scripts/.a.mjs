import { transform } from 'esbuild';
import { minify } from 'terser';
import { gzipSync } from 'node:zlib';
import fs from 'node:fs';
const gz=t=>gzipSync(t,{level:9}).length;
const s=fs.readFileSync('/tmp/s5/every.js','utf8');
console.log('base',s.length,gz(s));
const e=(await transform(s,{minify:true,format:'esm',target:'es2022'})).code;
console.log('esbuild after',e.length,gz(e));
const opts={
 'toplevel+unsafe':{module:true,toplevel:true,ecma:2020,compress:{passes:3,unsafe:true,unsafe_arrows:true,unsafe_methods:true,unsafe_comps:true,unsafe_math:true,keep_fargs:false,pure_getters:true}},
 'bools':{module:true,ecma:2020,compress:{passes:3,booleans_as_integers:true}},
 'noinline':{module:true,ecma:2020,compress:{passes:3,inline:0,reduce_funcs:false}},
 'noseq':{module:true,ecma:2020,compress:{passes:3,sequences:false}},
 'mangleonly':{module:true,compress:false},
 'nocollapse':{module:true,ecma:2020,compress:{passes:2,collapse_vars:false}},
 'joinvars false':{module:true,ecma:2020,compress:{passes:2,join_vars:false}},
};
for(const k in opts){const {code}=await minify(s,opts[k]);console.log(k,code.length,gz(code));const x=(await transform(code,{minify:true,format:'esm',target:'es2022'})).code;console.log('   +esbuild',x.length,gz(x));}
